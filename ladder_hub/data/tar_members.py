"""A tar shard read from front to end, header by header; nothing in it is trusted.

Samples are cut as webdataset does: neighbouring members that agree up to the first dot of the base name.
"""

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from webdataset.tariterators import base_plus_ext

from ladder_hub.data.decode import image_endings
from ladder_hub.data.image_source import DataError

BLOCK = 512
_LONGEST_NAME = 1024
_EXTENDED = 2**16
_LARGEST_SIZE = 2**62
_STEP = 2**20
# tarfile looks for one of its records in a time that grows with the square of a run of digits.
_DIGITS = re.compile(rb"\d{65}")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class CutShortError(DataError):
    """A shard that ends before its end mark."""


class LostError(Exception):
    """What a shard is read from broke off; another try may go through."""


class HostileError(Exception):
    """A header that no tool for making tar files writes."""


class Stream(Protocol):
    """What a shard is read from; `seek` too where `seekable` says so."""

    def seekable(self) -> bool:
        """Whether it can go to any place."""
        ...

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class TarReader:
    """A shard as tarfile reads it: in bounded pieces, forwards, or back by the one byte that it looks at.

    Args:
        stream: a file, or what can't be sought: a pipe, a socket.
        shard: what it is called in messages.
    """

    def __init__(self, stream: Stream, shard: object) -> None:
        self.shard = shard
        self._stream: Any = stream
        self._seekable = stream.seekable()
        self._at = 0
        self._before = self._again = b""
        self.first = self.last = b""
        """The first and the newest block that tarfile read."""

    def tell(self) -> int:
        """The place, in bytes."""
        return self._at

    def seek(self, place: int, whence: int = 0) -> int:
        """Go on to `place`, counted from the beginning."""
        assert whence == 0
        if place == self._at - 1 and self._before:
            self._again, self._before, self._at = self._before, b"", place
        elif place < self._at:
            raise HostileError("a size that leads back to where it was")
        else:
            self._skip(place - self._at)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """A header or a part of one.

        Raises:
            HostileError: it is too long, or holds a number that is.
        """
        check_header(size)
        data = self._take(size or 0)
        check_header(size, data)
        if size == BLOCK:
            self.first, self.last = self.first or data, data
        return data

    def content(self, member: tarfile.TarInfo, most: int) -> bytes:
        """The first bytes of a member that was just come to, at most `most` of them.

        Raises:
            CutShortError: the stream ends before.
        """
        self.seek(member.offset_data)
        wanted = min(member.size, most)
        data = self._take(wanted)
        if len(data) < wanted:
            raise CutShortError(f"{self.shard} is cut short in {plain_name(member)}; copy it again")
        return data

    def _take(self, size: int) -> bytes:
        parts, self._again = [self._again[:size]], self._again[size:]
        missing = size - len(parts[0])
        while missing and (part := self._stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self._at += len(data)
        self._before = data[-1:] or self._before
        return data

    def _skip(self, size: int) -> None:
        # The last byte is read: tarfile asks for it again.
        if self._seekable and size > 1:
            self._stream.seek(size - 1 - len(self._again), 1)
            self._again, self._at, size = b"", self._at + size - 1, 1
        while size and (part := self._take(min(size, _STEP))):
            size -= len(part)


@dataclass
class Sample:
    """Members of one key, as far as they are of use."""

    key: str = ""
    image: tarfile.TarInfo | None = None
    label: int = -1
    data: bytes = b""
    ending: str = ""

    @property
    def plain(self) -> bool:
        """Whether its image is called by the key alone: `a.jpg`, not `a.depth.png`."""
        return self.image is not None and "." not in self.ending

    def is_full(self, ending: str) -> bool:
        """Whether a picture of this key is one of its own: a name again, or a frame after a frame (`cam0.0002.jpg`)."""
        return self.image is not None and (ending == self.ending or ("." in ending and not self.plain))

    def offered(self, member: tarfile.TarInfo, ending: str) -> bool:
        """Take a member as the image unless a better one is there: `a.jpg` is it even where `a.depth.png` is before."""
        if self.image is not None and (self.plain or "." in ending):
            return False
        self.image, self.ending = member, ending
        return True


def samples(
    members: Iterable[tarfile.TarInfo],
    *,
    on_image: Callable[[Sample, tarfile.TarInfo], None] = lambda *_: None,
    on_class: Callable[[Sample, tarfile.TarInfo], None] = lambda *_: None,
    on_left_out: Callable[[tarfile.TarInfo], None] = lambda _: None,
) -> Iterator[Sample]:
    """The samples that have an image; what else a reader wants of a member it takes as it passes by.

    A key is a name up to its first dot, as WebDataset has it, and a sample its neighbours of one key. Its image is the
    member that is called by the key alone; other pictures beside that one are left out, and told. Where there is none,
    every picture is a sample of its own: so are frames and dates, `cam0.0001.jpg`.
    """
    endings = image_endings()
    sample = Sample()
    for member in members:
        key, ending = base_plus_ext(member.name)
        if key is None:
            continue
        ending = ending.lower()
        is_picture = f".{ending.rpartition('.')[2]}" in endings
        if key != sample.key or (is_picture and sample.is_full(ending)):
            if sample.image is not None:
                yield sample
            sample = Sample(key)
        if ending == "cls":
            on_class(sample, member)
        elif is_picture:
            before = sample.image
            if sample.offered(member, ending):
                on_image(sample, member)
            if left_out := before if sample.image is member else member:
                on_left_out(left_out)
    if sample.image is not None:
        yield sample


def members(reader: TarReader, *, room: int | None = None) -> Iterator[tarfile.TarInfo]:
    """The plain files of a shard, in order.

    Args:
        reader: at the beginning of the shard.
        room: bytes of the shard, where that is known.

    Raises:
        DataError: it is no tar, is damaged, or has a member that is refused; named.
        CutShortError: it ends too early.
        LostError: as the stream raised it.
    """
    end, shard = 0, reader.shard
    try:
        with tarfile.open(fileobj=reader, mode="r:", encoding="utf-8") as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                tar.members = []  # or it keeps every header of the shard
                if member.size < 0 or tar.offset <= end:
                    raise HostileError("a size below 0, which leads back to where it was")
                if member.size > _LARGEST_SIZE:
                    raise HostileError(f"a size of {member.size} bytes")
                end = tar.offset
                if room is not None and member.offset_data + member.size > room:  # pax can change the size alone
                    raise tarfile.ReadError("unexpected end of data")
                check_member(member, shard)
                if member.isreg():
                    yield member
            end = tar.offset
    except (DataError, LostError):
        raise
    except tarfile.ReadError as error:
        raise _unreadable(shard, reader.first, error) from None
    except OSError as error:
        raise DataError(f"can't read {shard}: {error.strerror or error}") from None
    except Exception as error:  # tarfile trusts its headers: OverflowError, IndexError, RecursionError, ...
        trusted = f"a header that can't be read ({type(error).__name__})"
        reason = str(error) if isinstance(error, HostileError) else trusted
        raise DataError(f"{shard} is damaged after byte {end}: {reason}; copy it again") from None
    # tarfile takes a broken header, or a file that stops between two members, for the end.
    if reader.last != bytes(BLOCK):
        raise CutShortError(f"{shard} is cut short or damaged at byte {end}: no end mark; copy it again")


def check_header(size: int | None, data: bytes = b"") -> None:
    """Refuse a header by its length, before it is read, and by what it says.

    Raises:
        HostileError: it is too long, or holds a number that is.
    """
    if size is None or not 0 <= size <= _EXTENDED:
        raise HostileError(f"an extended header of {size} bytes")
    if size > BLOCK and _DIGITS.search(data):
        raise HostileError("an extended header with a number of more than 64 digits")


def check_member(member: tarfile.TarInfo, shard: object) -> None:
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


def plain_name(member: tarfile.TarInfo) -> str:
    """The name as a message may hold it."""
    return member.name if member.name.isprintable() and len(member.name) <= 120 else _shown(member)


def _shown(member: tarfile.TarInfo) -> str:
    return repr(member.name if len(member.name) <= 120 else f"{member.name[:120]}…")


def _unreadable(shard: object, first: bytes, error: tarfile.ReadError) -> DataError:
    if "unexpected end" in str(error):
        return CutShortError(f"{shard} is cut short ({error}); copy it again")
    if first.startswith(_PACKED):
        return DataError(f"{shard} is compressed and can't be read as it is; unpack it to a plain .tar first")
    return DataError(f"{shard} is not a tar archive ({error})")
