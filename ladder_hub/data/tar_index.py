"""Where the images lie in tar shards: read from the headers, kept as flat arrays.

Samples are cut as webdataset does: neighbouring members that agree up to the first dot of the base name.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from webdataset.tariterators import base_plus_ext

from ladder_hub.data.decode import image_endings
from ladder_hub.data.image_source import DataError
from ladder_hub.data.names import Names

_BLOCK = 512
_HIGHEST_CLASS = 2**31 - 1


@dataclass(frozen=True)
class TarIndex:
    """N images in order of shard and place.

    Attributes:
        shard: int32 (N,), which shard.
        offset: int64 (N,), first byte of the image in its shard.
        size: int64 (N,), bytes.
        label: int64 (N,), the sample's `.cls`; -1 where it has none.
        members: Names of the image members.
    """

    shard: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    label: np.ndarray
    members: Names


@dataclass
class _Sample:
    key: str = ""
    image: tarfile.TarInfo | None = None
    plain: bool = False
    label: int = -1


@dataclass
class _Columns:
    shard: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, shard: int, sample: _Sample) -> None:
        if sample.image is not None:
            self.shard.append(shard)
            self.offset.append(sample.image.offset_data)
            self.size.append(sample.image.size)
            self.label.append(sample.label)
            self.names.append(sample.image.name)


def build_index(shards: list[Path]) -> TarIndex:
    """Read the headers of every shard.

    Raises:
        DataError: a shard is no tar, is cut short, or has a member that is refused; named.
    """
    columns = _Columns()
    for number, shard in enumerate(shards):
        for sample in _samples(shard):
            columns.add(number, sample)
    return TarIndex(
        shard=np.array(columns.shard, dtype=np.int32),
        offset=np.array(columns.offset, dtype=np.int64),
        size=np.array(columns.size, dtype=np.int64),
        label=np.array(columns.label, dtype=np.int64),
        members=Names.pack(columns.names),
    )


def _samples(shard: Path) -> Iterator[_Sample]:
    endings = image_endings()
    sample = _Sample()
    for file, member in _members(shard):
        key, ending = base_plus_ext(member.name)
        if key is None:
            continue
        if key != sample.key:
            yield sample
            sample = _Sample(key)
        ending = ending.lower()
        if ending == "cls":
            sample.label = _class_number(file, member, shard)
        elif f".{ending.rpartition('.')[2]}" in endings:
            # `a.jpg` is the image even where `a.depth.png` comes before it.
            plain = "." not in ending
            if sample.image is None or (plain and not sample.plain):
                sample.image, sample.plain = member, plain
    yield sample


def _members(shard: Path) -> Iterator[tuple[BinaryIO, tarfile.TarInfo]]:
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # or it keeps every header of the shard
                _check_member(member, shard)
                if member.isreg():
                    yield file, member
            end = tar.offset
    except tarfile.ReadError as error:
        raise DataError(_unreadable(shard, error)) from None
    except OSError as error:
        raise DataError(f"can't read {shard}: {error.strerror}") from None
    _check_end(shard, end)


def _check_member(member: tarfile.TarInfo, shard: Path) -> None:
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        raise DataError(f"{shard}: the member {member.name!r} is a link or a device; shards hold plain files only")
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise DataError(f"{shard}: the member {member.name!r} points out of the archive; pack it with relative names")


def _check_end(shard: Path, end: int) -> None:
    """Python's tarfile takes a broken header, or a file that stops between two members, for the end."""
    with shard.open("rb") as file:
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise DataError(f"{shard} is cut short or damaged at byte {end}: no end mark; copy it again")


def _unreadable(shard: Path, error: tarfile.ReadError) -> str:
    if "unexpected end" in str(error):
        return f"{shard} is cut short ({error}); copy it again"
    with shard.open("rb") as file:
        packed = file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
    if packed:
        return f"{shard} is compressed and can't be read at random places; unpack it to a plain .tar first"
    return f"{shard} is not a tar archive ({error})"


def _class_number(file: BinaryIO, member: tarfile.TarInfo, shard: Path) -> int:
    file.seek(member.offset_data)  # tarfile looks for its next header by itself
    text = file.read(min(member.size, 32)).strip()
    if not text.isdigit():
        raise DataError(f"{shard}: {member.name} holds {text.decode(errors='replace')!r}, not a class number")
    if int(text) > _HIGHEST_CLASS:
        raise DataError(f"{shard}: {member.name} holds {text.decode()}, too large for a class number")
    return int(text)
