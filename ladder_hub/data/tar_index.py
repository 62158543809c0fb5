"""Where the images lie in tar shards: read from the headers, kept as flat arrays.

Samples are cut as webdataset does: neighbouring members that agree up to the first dot of the base name.
"""

import hashlib
import io
import os
import re
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from webdataset.tariterators import base_plus_ext

from ladder_hub.data.decode import image_endings
from ladder_hub.data.image_source import DataError, Progress, no_progress
from ladder_hub.data.names import Names

_BLOCK = 512
_MB = 10**6
_WHAT = "indexing the shards (MB)"
_TELL_EVERY = 1000
HIGHEST_CLASS = 2**31 - 1
"""Of a label."""
_LONGEST_NAME = 1024
_EXTENDED = 2**16
# tarfile looks for one of its records in a time that grows with the square of a run of digits.
_DIGITS = re.compile(rb"\d{65}")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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


@dataclass
class _Sample:
    key: str = ""
    image: tarfile.TarInfo | None = None
    plain: bool = False
    label: int = -1


@dataclass
class _Columns:
    # Arrays, not lists: a million images' numbers would be hundreds of megabytes of objects.
    shard: "array[int]" = field(default_factory=lambda: array("i"))
    offset: "array[int]" = field(default_factory=lambda: array("q"))
    size: "array[int]" = field(default_factory=lambda: array("q"))
    label: "array[int]" = field(default_factory=lambda: array("q"))

    def names(self, shards: list[Path], progress: Progress) -> Iterator[str]:
        """The names of all images; their numbers are noted on the way."""
        done, total = 0, sum(shard.stat().st_size for shard in shards)
        progress(0, total // _MB, _WHAT)
        for number, shard in enumerate(shards):
            for image, label in _images(shard):
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
    return TarIndex(shard, offset, size, label, members, digest)


def _digest(shards: list[str], shard: np.ndarray, size: np.ndarray, label: np.ndarray, members: Names) -> str:
    digest = hashlib.sha256()
    labelled = not (label < 0).any()
    for index, name in enumerate(members):
        number = int(label[index]) if labelled else ""
        digest.update(os.fsencode(f"{shards[shard[index]]}:{name}\0{size[index]}\0{number}\n"))
    return digest.hexdigest()


def _images(shard: Path) -> Iterator[tuple[tarfile.TarInfo, int]]:
    for sample in _samples(shard):
        if sample.image is not None:
            yield sample.image, sample.label


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


class _HeaderReader(io.BufferedReader):
    """What tarfile reads its headers through: it would take memory for any length that one of them claims."""

    def read(self, size: int | None = -1) -> bytes:
        check_header(size)
        data = super().read(size)
        check_header(size, data)
        return data


class HostileError(Exception):
    """A header that no tool for making tar files writes."""


def check_header(size: int | None, data: bytes = b"") -> None:
    """Refuse a header by its length, before it is read, and by what it says.

    Raises:
        HostileError: it is too long, or holds a number that is.
    """
    if size is None or not 0 <= size <= _EXTENDED:
        raise HostileError(f"an extended header of {size} bytes")
    if size > _BLOCK and _DIGITS.search(data):
        raise HostileError("an extended header with a number of more than 64 digits")


def _members(shard: Path) -> Iterator[tuple[BinaryIO, tarfile.TarInfo]]:
    _check_regular(shard)
    room = shard.stat().st_size
    end = 0
    try:
        with _HeaderReader(io.FileIO(shard)) as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # or it keeps every header of the shard
                if member.size < 0 or tar.offset <= end:
                    raise HostileError("a size below 0, which leads back to where it was")
                end = tar.offset
                if member.offset_data + member.size > room:  # a pax record can change the size and not the place
                    raise tarfile.ReadError("unexpected end of data")
                check_member(member, shard)
                if member.isreg():
                    yield file, member
            end = tar.offset
    except DataError:
        raise
    except tarfile.ReadError as error:
        raise DataError(_unreadable(shard, error)) from None
    except OSError as error:
        raise DataError(f"can't read {shard}: {error.strerror}") from None
    except Exception as error:  # tarfile trusts its headers: OverflowError, IndexError, RecursionError, ...
        trusted = f"a header that can't be read ({type(error).__name__})"
        reason = str(error) if isinstance(error, HostileError) else trusted
        raise DataError(f"{shard} is damaged after byte {end}: {reason}; copy it again") from None
    _check_end(shard, end)


def _check_regular(shard: Path) -> None:
    """Opening a named pipe would wait for ever, a device has no end."""
    if not shard.is_file():
        raise DataError(f"can't read {shard}: it is {'not a file' if shard.exists() else 'not there'}")


def check_member(member: tarfile.TarInfo, shard: Path | str) -> None:
    """Refuse what no set of images holds.

    Raises:
        DataError: a link, a device, or a name that leads elsewhere.
    """
    if member.isdir():
        return
    if not member.isreg() or member.issparse():
        raise DataError(f"{shard}: the member {_shown(member)} is a link or a device; shards hold plain files only")
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise DataError(f"{shard}: the member {_shown(member)} points out of the archive; pack it with relative names")
    if len(member.name) > _LONGEST_NAME or _CONTROLS.search(member.name):
        what = f"a name of more than {_LONGEST_NAME} letters, or with a control character"
        raise DataError(f"{shard}: the member {_shown(member)} has {what}; rename it")


def _shown(member: tarfile.TarInfo) -> str:
    return repr(member.name if len(member.name) <= 120 else f"{member.name[:120]}…")


def _plain(member: tarfile.TarInfo) -> str:
    return member.name if member.name.isprintable() and len(member.name) <= 120 else _shown(member)


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
        raise DataError(f"{shard}: {_plain(member)} holds {text.decode(errors='replace')!r}, not a class number")
    if int(text) > HIGHEST_CLASS:
        raise DataError(f"{shard}: {_plain(member)} holds {text.decode()}, too large for a class number")
    return int(text)
