"""Where the images lie in tar shards: read from the headers, kept as flat arrays."""

import hashlib
import os
import tarfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ladder_hub.data.image_source import DataError, Progress, no_progress
from ladder_hub.data.names import Names
from ladder_hub.data.tar_members import Sample, TarReader, members, plain_name, samples

_MB = 10**6
_WHAT = "indexing the shards (MB)"
_TELL_EVERY = 1000
HIGHEST_CLASS = 2**31 - 1
"""Of a label."""


@dataclass(frozen=True)
class TarIndex:
    """N images in order of shard and place.

    Attributes:
        shard: int32 (N,), which shard.
        offset: int64 (N,), first byte of the image in its shard.
        size: int64 (N,), bytes.
        label: int64 (N,), the sample's `.cls`; -1 where it has none.
        members: Names of the image members.
        digest: SHA-256, in hex, of shard and member names, sizes and labels.
    """

    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    label: np.ndarray
    members: Names
    digest: str
    left_out: int = 0
    """Pictures that are not among them: beside the image of their key."""
    left_out_name: str = ""
    """The first of those."""


@dataclass
class _Columns:
    # Arrays, not lists: a million images' numbers would be hundreds of megabytes of objects.
    shard: "array[int]" = field(default_factory=lambda: array("i"))
    offset: "array[int]" = field(default_factory=lambda: array("q"))
    size: "array[int]" = field(default_factory=lambda: array("q"))
    label: "array[int]" = field(default_factory=lambda: array("q"))
    left_out: int = 0
    left_out_name: str = ""

    def leave_out(self, member: tarfile.TarInfo) -> None:
        """Count a picture that is not taken."""
        self.left_out_name = self.left_out_name or member.name
        self.left_out += 1

    def names(self, shards: list[Path], progress: Progress) -> Iterator[str]:
        """The names of all images; their numbers are noted on the way."""
        done, total = 0, sum(shard.stat().st_size for shard in shards)
        progress(0, total // _MB, _WHAT)
        for number, shard in enumerate(shards):
            for image, label in _images(shard, self.leave_out):
                self.shard.append(number)
                self.offset.append(image.offset_data)
                self.size.append(image.size)
                self.label.append(label)
                if len(self.shard) % _TELL_EVERY == 0:
                    progress((done + image.offset_data) // _MB, total // _MB, _WHAT)
                yield image.name
            done += shard.stat().st_size
            progress(done // _MB, total // _MB, _WHAT)


def build_index(shards: list[Path], *, progress: Progress = no_progress) -> TarIndex:
    """Read the headers of every shard.

    Raises:
        DataError: a shard is no tar, is cut short, or has a member that is refused; named.
    """
    columns = _Columns()
    members = Names.pack(columns.names(shards, progress))
    shard = np.frombuffer(columns.shard, dtype=np.int32)
    offset, size, label = (
        np.frombuffer(column, dtype=np.int64) for column in (columns.offset, columns.size, columns.label)
    )
    digest = _digest([shard.name for shard in shards], shard, size, label, members)
    return TarIndex(shard, offset, size, label, members, digest, columns.left_out, columns.left_out_name)


def _digest(shards: list[str], shard: np.ndarray, size: np.ndarray, label: np.ndarray, members: Names) -> str:
    digest = hashlib.sha256()
    labelled = not (label < 0).any()
    for index, name in enumerate(members):
        number = int(label[index]) if labelled else ""
        digest.update(os.fsencode(f"{shards[shard[index]]}:{name}\0{size[index]}\0{number}\n"))
    return digest.hexdigest()


def _images(shard: Path, leave_out: Callable[[tarfile.TarInfo], None]) -> Iterator[tuple[tarfile.TarInfo, int]]:
    _check_regular(shard)
    try:
        with shard.open("rb") as file:
            reader = TarReader(file, shard)

            def note(sample: Sample, member: tarfile.TarInfo) -> None:
                sample.label = _class_number(reader.content(member, 32), member, shard)

            inside = members(reader, room=shard.stat().st_size)
            for sample in samples(inside, on_class=note, on_left_out=leave_out):
                assert sample.image is not None
                yield sample.image, sample.label
    except OSError as error:
        raise DataError(f"can't read {shard}: {error.strerror}") from None


def _check_regular(shard: Path) -> None:
    """Opening a named pipe would wait for ever, a device has no end."""
    if not shard.is_file():
        raise DataError(f"can't read {shard}: it is {'not a file' if shard.exists() else 'not there'}")


def _class_number(data: bytes, member: tarfile.TarInfo, shard: Path) -> int:
    text = data.strip()
    if not text.isdigit():
        raise DataError(f"{shard}: {plain_name(member)} holds {text.decode(errors='replace')!r}, not a class number")
    if int(text) > HIGHEST_CLASS:
        raise DataError(f"{shard}: {plain_name(member)} holds {text.decode()}, too large for a class number")
    return int(text)
