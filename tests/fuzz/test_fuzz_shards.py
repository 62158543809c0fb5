"""Tar shards and their kept index: images, a bad image, or one line that names the shard; no loop, no bomb."""

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzzing import Tally, at_most_megabytes, at_most_seconds, bounded, check_message, make_odd
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ladder_hub.data import tar_cache
from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.shards import ShardSource
from ladder_hub.data.sources import open_source
from ladder_hub.data.tar_index import build_index
from ladder_hub.data.tar_members import TarReader, members, samples

BLOCK = 512
FILE, LINK, LONG_NAME, PAX, GLOBAL_PAX, SPARSE = b"0", b"2", b"L", b"x", b"g", b"S"


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


PNG = png(200)


def header(name: bytes, size: int | bytes, kind: bytes = FILE, *, link: bytes = b"") -> bytes:
    """A header block with a right checksum; `size` as its twelve bytes, or as a number of any sign."""
    if isinstance(size, int):
        octal = b"%011o\0" % size if 0 <= size < 8**11 else b""
        size = octal or (b"\x80" if size >= 0 else b"\xff") + (size % 2**88).to_bytes(11, "big")
    block = name[:100].ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0"
    block += b" " * 8 + kind + link.ljust(100, b"\0") + b"ustar\x0000"
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def record(key: bytes, value: bytes, length: int | None = None) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    whole = len(body) + 1
    while len(b"%d" % whole) + len(body) != whole:
        whole += 1
    return b"%d" % (whole if length is None else length) + body


def member(name: bytes, data: bytes, **changes) -> bytes:
    return header(name, changes.pop("size", len(data)), **changes) + padded(data)


def extended(data: bytes, kind: bytes = PAX, size: int | None = None) -> bytes:
    return header(b"extended", len(data) if size is None else size, kind) + padded(data)


END = bytes(2 * BLOCK)
GOOD = b"".join(
    member(name, data) for name, data in [(b"a.png", PNG), (b"a.cls", b"3"), (b"b.png", png(9)), (b"b.cls", b"1")]
)
GOOD += END


def read_all(path: Path) -> list[str]:
    """Open the shard and read every image; what came of each."""
    source = ShardSource([path], spec=str(path))
    found = []
    for index in range(len(source)):
        check_message(repr(source.key(index)))
        assert "\n" not in source.key(index)
        try:
            image = source.image(index)
            assert image.shape[0] == 3
            found.append("image")
        except BadImage as error:
            check_message(error.reason)
            found.append(error.reason)
    assert len(source.fingerprint()["digest"]) == 64
    return found


class Forwards(io.BytesIO):
    """What can't be sought."""

    def seekable(self) -> bool:
        return False


def read_forwards(path: Path, data: bytes) -> int:
    """Read the shard as a stream; how many images it has."""
    reader = TarReader(Forwards(data), path)

    def keep(sample, member) -> None:
        sample.data = reader.content(member, 2**20)

    return sum(1 for _ in samples(members(reader), on_image=keep))


def try_shard(tally: Tally, path: Path, data: bytes) -> list[str] | None:
    path.write_bytes(data)
    found = tally.run(lambda: read_all(path), path)
    forwards = tally.run(lambda: read_forwards(path, data), path)
    if found is not None:
        assert forwards == len(found)
    return found


def test_what_is_built_here_is_a_tar(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(GOOD)
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["a.png", "a.cls", "b.png", "b.cls"]
    assert read_all(path) == ["image", "image"]


def test_bits_flipped_and_bytes_replaced(tmp_path):
    path, tally = tmp_path / "s.tar", Tally()

    @bounded(400)
    @given(st.integers(0, 8 * len(GOOD) - 1), st.one_of(st.none(), st.binary(max_size=24)))
    def run(bit, data):
        place = bit // 8
        new = bytes([GOOD[place] ^ 1 << bit % 8]) if data is None else data
        try_shard(tally, path, GOOD[:place] + new + GOOD[place + len(new) :])

    run()
    assert tally.accepted > 50
    assert tally.refused > 50


def test_cut_at_many_places(tmp_path):
    path, tally = tmp_path / "s.tar", Tally()
    places = range(0, len(GOOD) - 2 * BLOCK, 37)
    for length in places:
        try_shard(tally, path, GOOD[:length])
    assert tally.refused == 2 * len(places) > 160  # at random, and forwards


SIZES = st.one_of(
    st.integers(-600, 2000),
    st.sampled_from([-(2**63), -(2**40), -512, -1, 2**31, 2**33, 2**62, 2**63 - 1, 2**63, 2**80]),
    st.binary(min_size=12, max_size=12),
)
NAMES = st.one_of(
    st.sampled_from(
        [b"a.png", b"a.cls", b"b.png", b"b.cls", b"../x.png", b"/x.png", b"x/../../y.png", b"", b".", b"a\nb.png"]
    ),
    st.sampled_from([b"\xff\xfe.png", b"a\x1b[2J.png", b"\xe2\x80\xa8.png", b"dir/", b"a" * 100, b"no dot", b".png"]),
    st.binary(max_size=100),
)
KINDS = st.one_of(
    st.just(FILE), st.sampled_from([b"\0", b"1", LINK, b"3", b"4", b"5", b"6", b"7", SPARSE, b"V", b"M", b"?", b"\xff"])
)
CONTENTS = st.one_of(
    st.sampled_from([PNG, b"1", b"-1", b"1e9", b"9" * 31, b"", b"\xff", b" 7\n", b"\xd9\xa3"]), st.binary(max_size=30)
)


def test_any_headers(tmp_path):
    path, tally = tmp_path / "s.tar", Tally()
    parts = st.lists(st.tuples(NAMES, st.one_of(st.none(), st.none(), SIZES), KINDS, CONTENTS), max_size=4)

    @bounded(400)
    @given(parts, st.booleans())
    def run(members, ends):
        blocks = [
            header(name, len(data) if size is None else size, kind) + padded(data) for name, size, kind, data in members
        ]
        try_shard(tally, path, GOOD[: -len(END)] + b"".join(blocks) + (END if ends else b""))

    run()
    assert tally.accepted > 4
    assert tally.refused > 200


KEYS = st.sampled_from(
    [b"path", b"size", b"linkpath", b"GNU.sparse.map", b"GNU.sparse.size", b"GNU.sparse.major", b"hdrcharset"]
)
MORE_KEYS = st.sampled_from(
    [b"GNU.sparse.minor", b"GNU.sparse.realsize", b"GNU.sparse.name", b"mtime", b"comment", b"uid"]
)
VALUES = st.one_of(
    st.sampled_from(
        [b"-1", b"-1024", b"0", b"1", b"9" * 20, b"9" * 64, b"nan", b"1e9", b"../../x.png", b"/etc/x.png", b"a.png"]
    ),
    st.sampled_from(
        [b"a\0b.png", b"a\nb.png", b"\xff.png", b"\xed\xa0\x80.png", b"x" * 2000 + b".png", b"0,3", b"BINARY", b""]
    ),
    st.binary(max_size=20),
)
LENGTHS = st.one_of(st.none(), st.none(), st.sampled_from([0, 1, 5, 10**9, 2**63, 10**60]))
RECORDS = st.one_of(st.builds(record, st.one_of(KEYS, MORE_KEYS), VALUES, LENGTHS), st.binary(max_size=30))


def test_any_extended_headers(tmp_path):
    path, tally = tmp_path / "s.tar", Tally()
    kinds = st.sampled_from([PAX, PAX, GLOBAL_PAX, LONG_NAME, b"K", b"X"])
    sizes = st.one_of(st.none(), st.none(), st.none(), SIZES.filter(lambda size: isinstance(size, int)))

    @bounded(400)
    @given(st.lists(st.tuples(kinds, st.lists(RECORDS, max_size=3), sizes), min_size=1, max_size=3), st.booleans())
    def run(headers, first):
        parts = b"".join(extended(b"".join(records), kind, size) for kind, records, size in headers)
        body = GOOD[: -len(END)]
        blocks = parts + body if first else body + parts + member(b"c.png", PNG)
        try_shard(tally, path, blocks + END)

    run()
    assert tally.accepted > 50
    assert tally.refused > 100


CASES = {
    "a size below 0": member(b"c.png", PNG, size=-1024),
    "a size below 0 that leads back to itself": member(b"c.png", PNG, size=-512),
    "a size below 0 that leads to the start": member(b"c.png", PNG, size=-(len(GOOD) - 2 * BLOCK) - BLOCK),
    "a size of 2^62": member(b"c.png", PNG, size=2**62),
    "a size of 2^80": member(b"c.png", PNG, size=2**80),
    "a pax header of 1 GB": extended(record(b"path", b"c.png"), size=10**9) + member(b"c.png", PNG),
    "a pax header of 2^62 bytes": extended(record(b"path", b"c.png"), size=2**62) + member(b"c.png", PNG),
    "a pax header of -512 bytes": extended(record(b"path", b"c.png"), size=-512) + member(b"c.png", PNG),
    "a long name of 8 GB": extended(b"c.png\0", LONG_NAME, 2**33) + member(b"c.png", PNG),
    "a name of a million letters": extended(b"c" * 10**6 + b".png\0", LONG_NAME) + member(b"c.png", PNG),
    "a pax name of a million letters": extended(record(b"path", b"/" * 10**6 + b".png")) + member(b"c.png", PNG),
    "a name of slashes": extended(b"a/" * 10_000 + b"\0", LONG_NAME) + member(b"c.png", PNG),
    "pax size beyond the file": extended(record(b"GNU.sparse.realsize", b"9" * 20)) + member(b"c.png", PNG),
    "pax size of 2^60": extended(record(b"GNU.sparse.realsize", b"1152921504606846976")) + member(b"c.png", PNG),
    "pax size -1024": extended(record(b"size", b"-1024")) + member(b"c.png", PNG),
    "pax path out": extended(record(b"path", b"../../x.png")) + member(b"c.png", PNG),
    "pax path absolute": extended(record(b"path", b"/etc/x.png")) + member(b"c.png", PNG),
    "pax path with a zero byte": extended(record(b"path", b"c\0d.png")) + member(b"c.png", PNG),
    "pax path with a line break": extended(record(b"path", b"c\nd.png")) + member(b"c.png", PNG),
    "global pax path out": extended(record(b"path", b"../../x.png"), GLOBAL_PAX) + member(b"c.png", PNG),
    "pax record that claims 1 GB": extended(record(b"path", b"../c.png", 10**9)) + member(b"c.png", PNG),
    "pax record of length 0": extended(b"0 path=c.png\n") + member(b"c.png", PNG),
    "digits without end": extended(b"9" * 60_000) + member(b"c.png", PNG),
    "pax headers on pax headers": extended(record(b"uid", b"1")) * 2000 + member(b"c.png", PNG),
    "long names on long names": extended(b"c.png\0", LONG_NAME) * 2000 + member(b"c.png", PNG),
    "sparse 0.1": extended(record(b"GNU.sparse.map", b"0,3,x")) + member(b"c.png", PNG),
    "sparse 0.0": extended(record(b"GNU.sparse.size", b"9") + record(b"GNU.sparse.offset", b"x"))
    + member(b"c.png", PNG),
    "sparse 1.0": extended(record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0"))
    + member(b"c.png", b"9" * 99),
    "old sparse": member(b"c.png", PNG, kind=SPARSE),
    "a symbolic link": member(b"c.png", b"", kind=LINK, link=b"/etc/passwd"),
    "a hard link": member(b"c.png", b"", kind=b"1", link=b"a.png"),
    "a device": member(b"c.png", b"", kind=b"3"),
    "a pipe": member(b"c.png", b"", kind=b"6"),
    "a class of letters": member(b"c.png", PNG) + member(b"c.cls", b"cat\x1b\n"),
    "a class below 0": member(b"c.png", PNG) + member(b"c.cls", b"-1"),
    "a class beyond 64 bits": member(b"c.png", PNG) + member(b"c.cls", b"9" * 30),
    "another alphabet's digits": member(b"c.png", PNG) + member(b"c.cls", "٣".encode()),
}


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("case", CASES)
def test_a_hostile_member_is_refused(tmp_path, case, place):
    path = tmp_path / "s.tar"
    body = GOOD[: -len(END)]
    path.write_bytes((CASES[case] + body if place == "first" else body + CASES[case]) + END)
    with at_most_megabytes(32), at_most_seconds(10), pytest.raises(DataError) as error:
        read_all(path)
    check_message(str(error.value), path)


def test_duplicated_names_and_names_of_any_bytes_are_taken(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(member(b"a.png", PNG) + member(b"a.png", b"") + member(b"\xff.png", PNG) + END)
    assert read_all(path) == ["image", "empty file", "image"]  # a name again is an image again, here a bad one


@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder"])
def test_a_shard_that_is_no_file(tmp_path, kind):
    path = tmp_path / "s.tar"
    make_odd(path, kind)
    tally = Tally()
    tally.run(lambda: open_source(str(path), split="train"), path)
    if kind != "loop":  # of which no size can be had; `open_source` has said so by then
        tally.run(lambda: build_index([path]), path)
    assert tally.refused == 1 + (kind != "loop")


# -- the kept index --


def kept(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A shard, and the file that keeps its index."""
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    shard = tmp_path / "s.tar"
    shard.write_bytes(GOOD)
    assert read_all(shard) == ["image", "image"]
    (file,) = (tmp_path / "cache").glob("*.npz")
    return shard, file


COLUMNS = ["shard", "offset", "size", "label", "joined", "ends", "digest", "left_out", "left_out_name"]
TEXTS = ("digest", "left_out_name")
FIGURES = st.one_of(st.integers(-3, 3000), st.sampled_from([-(2**63), -(2**31), 2**31 - 1, 2**32, 2**60, 2**63 - 1]))


def test_a_kept_index_with_a_value_replaced(tmp_path, monkeypatch):
    """It is made anew, or leads to an image, right or wrong; never to a read beyond the shard."""
    shard, file = kept(tmp_path, monkeypatch)
    with np.load(file) as arrays:
        whole = dict(arrays)
    assert set(whole) == set(COLUMNS)
    tally, rebuilt = Tally(), []
    build = tar_cache.build_index
    monkeypatch.setattr(tar_cache, "build_index", lambda *args, **kwargs: rebuilt.append(1) or build(*args, **kwargs))
    kinds = st.sampled_from(["value", "value", "value", "dtype", "shape", "length", "absent", "object", "text"])

    @bounded(300)
    @given(st.sampled_from(COLUMNS), kinds, st.integers(0, 10), FIGURES)
    def run(column, kind, place, figure):
        array = whole[column].copy()
        if kind == "value" and column not in TEXTS:
            array.reshape(-1)[place % array.size] = np.array(figure).astype(array.dtype)
        elif kind in ("dtype", "value"):
            array = array.astype("U9") if column in TEXTS else array.astype(np.float64)
        elif kind == "shape":
            array = array.reshape(1, -1)
        elif kind == "length":
            array = array.reshape(-1)[:-1]
        elif kind == "object":
            array = np.array([{"a": 1}], dtype=object)
        elif kind == "text":
            array = np.array("x\ny" * 30)
        changed = whole | {column: array}
        if kind == "absent":
            del changed[column]
        with file.open("wb") as out:
            np.savez(out, allow_pickle=True, **changed)
        found = tally.run(lambda: read_all(shard), shard)
        assert len(found) == 2

    run()
    assert tally.refused == 0
    assert tally.accepted > len(rebuilt) > 100


def test_a_kept_index_of_any_bytes(tmp_path, monkeypatch):
    shard, file = kept(tmp_path, monkeypatch)
    whole, tally = file.read_bytes(), Tally()

    @bounded(300)
    @given(st.integers(0, len(whole) - 1), st.binary(max_size=12), st.booleans())
    def run(place, data, cut):
        file.write_bytes(whole[:place] + data + (b"" if cut else whole[place + len(data) :]))
        assert tally.run(lambda: read_all(shard), shard) is not None

    run()
    assert tally.accepted > 250


def npz(path: Path, entries: dict[str, bytes], *, packed: bool = False) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)


def npy(shape: str, dtype: str = "<i8", data: bytes = b"") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "case", ["claims 2^40", "claims 1 GB", "packed zeros", "a pickle", "a folder", "a pipe", "a loop"]
)
def test_a_kept_index_that_is_a_bomb(tmp_path, monkeypatch, case):
    shard, file = kept(tmp_path, monkeypatch)
    ran = tmp_path / "ran"
    file.unlink()
    if case.startswith("claims"):
        shape = f"({2**40},)" if "40" in case else f"({2**27},)"
        npz(file, {name: npy(shape, data=bytes(16)) for name in COLUMNS})
    elif case == "packed zeros":
        npz(file, {name: npy(f"({2**24},)", data=bytes(2**27)) for name in COLUMNS[:1]}, packed=True)
        assert file.stat().st_size < 2**18
    elif case == "a pickle":
        evil = b"cos\nmkdir\n(V%s\ntR." % str(ran).encode()
        npz(file, {name: npy("(1,)", "|O", evil) for name in COLUMNS})
    elif case == "a folder":
        file.mkdir()
    elif case == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file)
    with at_most_megabytes(32), at_most_seconds(10):
        assert read_all(shard) == ["image", "image"]
    assert not ran.exists()
