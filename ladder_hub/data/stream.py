"""Sets of images that can only be read from front to end: shards in an order of the epoch, shuffled by a buffer.

Of `n` processes the r-th reads the shards r, r + n, ... of that order, several at once, and nobody reads one twice.
The undecoded images of a process come in an order that depends on (seed, epoch, r, n) alone.
"""

import hashlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from ladder_hub.data.ahead import Ahead, in_turn, shuffled
from ladder_hub.data.chance import order, stream_generator
from ladder_hub.data.decode import Encoded, decode
from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.picture import Picture
from ladder_hub.data.tar_members import CutShortError, LostError
from ladder_hub.errors import RunError

_AT_ONCE = 4
_DEPTH = 64
_PAUSES = (1, 5, 25)


class Stored(NamedTuple):
    """One image as it was stored."""

    key: str
    data: bytes

    @property
    def number(self) -> int:
        """The image's place in the space of chance, from its key: 0..2^63 - 1."""
        return int.from_bytes(hashlib.blake2b(self.key.encode(), digest_size=8).digest(), "big") >> 1


class Shard(Protocol):
    """A part of a stream."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def read(self) -> Generator[Stored, None, None]:
        """Its images, from the first on.

        Raises:
            LostError, CutShortError: reading broke off; another try may go through.
            DataError: it can't be used.
        """
        ...


@dataclass(frozen=True)
class StreamSource:
    """A training set that is a stream.

    Attributes:
        spec: What the user typed, without what may be secret.
        shards: Its parts.
        samples: Images an epoch, over all processes, as the recipe says.
        buffer: Undecoded images among which each process draws its next.
        patience: Seconds to wait for the next image.
        facts: What provenance records.
    """

    spec: str
    shards: Sequence[Shard]
    samples: int
    buffer: int
    patience: float
    facts: dict[str, Any]
    labels: None = None
    class_names: None = None

    def __len__(self) -> int:
        return self.samples

    def fingerprint(self) -> dict[str, Any]:
        """Source, name, count (as the recipe says), classes and the SHA-256 of the shards' addresses."""
        return {"count": self.samples, "classes": None, **self.facts}

    def check_share(self, processes: int) -> None:
        """Refuse more processes than shards.

        Raises:
            DataError: one of them would have nothing to read.
        """
        if len(self.shards) < processes:
            raise DataError(
                f"data.train={self.spec} has {len(self.shards)} shard(s), fewer than the {processes} processes; "
                "cut it into more, or start fewer"
            )

    def read(self, *, seed: int, epoch: int, rank: int = 0, processes: int = 1) -> Generator[Stored, None, None]:
        """The images of one process in one epoch, until its shards are read.

        Raises:
            RunError: a shard can't be read, after several tries.
            DataError: a shard is no tar, or holds what is refused.
        """
        own = [self.shards[index] for index in order(len(self.shards), seed=seed, epoch=epoch)[rank::processes]]
        lanes = [
            Ahead(_one_after_another(own[lane::_AT_ONCE]), depth=_DEPTH, patience=self.patience, what=self.spec)
            for lane in range(min(_AT_ONCE, len(own)))
        ]
        return shuffled(in_turn(lanes), size=self.buffer, rng=stream_generator(seed=seed, epoch=epoch, rank=rank))

    def first(self, count: int) -> "HeldSource":
        """The first images of the first shard, in memory."""
        shard = self.shards[0].read()
        try:
            return HeldSource(self.spec, [image for _, image in zip(range(count), shard, strict=False)])
        except LostError as error:
            raise DataError(f"can't read {self.shards[0].name}: {error}") from None
        finally:
            shard.close()


class HeldSource:
    """A few images in memory, with random access."""

    labels: np.ndarray | None = None
    class_names: list[str] | None = None
    note = ""
    """What people should know of how it was read."""

    def __init__(self, spec: str, images: list[Stored]) -> None:
        self.spec = spec
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def key(self, index: int) -> str:
        """As the stream has it."""
        return self._images[index].key

    def picture(self, index: int) -> Picture:
        """The image, not yet decoded. Raises BadImage."""
        try:
            return Encoded(self._images[index].data)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def image(self, index: int) -> torch.Tensor:
        """Decoded image, uint8 (3, H, W), RGB. Raises BadImage."""
        try:
            return decode(self._images[index].data)
        except ValueError as error:
            raise BadImage(self.key(index), str(error)) from None

    def size(self, index: int) -> int:
        """Bytes of the image's file."""
        return len(self._images[index].data)

    def stamps(self) -> None:
        """They are in memory."""

    def content(self, index: int, most: int = -1) -> bytes:
        """The image's file, or its first bytes."""
        data = self._images[index].data
        return data if most < 0 else data[:most]

    def fingerprint(self) -> dict[str, Any]:
        """Source, count and the SHA-256 of the keys."""
        digest = hashlib.sha256("\n".join(image.key for image in self._images).encode()).hexdigest()
        return {"source": "held", "name": self.spec, "count": len(self), "classes": None, "digest": digest}


def _one_after_another(shards: Sequence[Shard]) -> Generator[Stored, None, None]:
    for shard in shards:
        yield from _persistently(shard)


def _persistently(shard: Shard) -> Generator[Stored, None, None]:
    """A shard's images; where reading breaks off it begins anew, and goes on after the last one that was given."""
    given = 0
    for pause in (*_PAUSES, None):
        try:
            for place, image in enumerate(shard.read()):
                if place >= given:
                    given += 1
                    yield image
            return
        except (LostError, CutShortError) as error:
            if pause is None:
                raise RunError(f"can't read {shard.name}, in {len(_PAUSES) + 1} tries: {error}") from None
            time.sleep(pause)
