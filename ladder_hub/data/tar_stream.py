"""A WebDataset shard that is read from front to end, wherever it lies."""

import tarfile
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from ladder_hub.data.addresses import name, public, reading
from ladder_hub.data.stream import Stored
from ladder_hub.data.tar_members import Sample, TarReader, members, plain_name, samples

_LARGEST = 2**28  # bytes of an image; what is cut there can't be decoded, and is counted as bad


class FirstLeftOut:
    """Tells of the first picture that is left out, and of no other: lanes and epochs meet the same again.

    Args:
        say: Takes the line; called by whichever thread met it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._lock, self._told = say, threading.Lock(), False

    def note(self, shard: str, member: tarfile.TarInfo) -> None:
        """One more picture that is not taken."""
        with self._lock:
            first, self._told = not self._told, True
        if first:
            self._say(
                "data.train: pictures beside the image of their key are left out, the first of them "
                f"{plain_name(member)} of {shard}"
            )


@dataclass(frozen=True)
class TarShard:
    """A `Shard` of a stream: the samples of one tar that have an image."""

    address: str
    left_out: FirstLeftOut

    @property
    def name(self) -> str:
        """The address without what may be secret."""
        return public(self.address)

    def read(self) -> Generator[Stored, None, None]:
        """Its images, from the first on; `train-000001.tar:n0123_4.jpg` is a key."""
        own = name(self.address)
        with reading(self.address) as stream:
            reader = TarReader(stream, self.name)

            def keep(sample: Sample, member: tarfile.TarInfo) -> None:
                sample.data = reader.content(member, _LARGEST)

            def leave_out(member: tarfile.TarInfo) -> None:
                self.left_out.note(self.name, member)

            for sample in samples(members(reader), on_image=keep, on_left_out=leave_out):
                assert sample.image is not None
                yield Stored(f"{own}:{sample.image.name}", sample.data)
