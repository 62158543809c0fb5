"""A set's content: the same for the same bytes, another for one byte, and nothing read twice without need."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import squares

from ladder_hub.data import contents
from ladder_hub.data.contents import file_digests, named_by_content
from ladder_hub.data.pairs import open_pairs
from ladder_hub.data.sources import Source, open_source

PAST = 1_500_000_000  # long before any test: files at rest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / "images" / f"c{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        os.utime(path, (PAST, PAST))
    return tmp_path / "images"


def picture(number: int) -> bytes:
    return squares.png(np.full((4, 4), number, np.uint8))


def content(spec: Path | str) -> str:
    return str(named_by_content(open_source(str(spec), split="train"), workers=0)["content"])


def at_rest(monkeypatch) -> None:
    """As if all files had been written long ago, whatever the clock of their inodes says."""
    monkeypatch.setattr(contents, "_CLOCK_TICK_NS", -(10**18))


def shard_of(root: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for image in sorted(root.glob("*/*.png")):
            for name, data in ((image.name, image.read_bytes()), (f"{image.stem}.cls", image.parent.name[1:].encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def test_content_is_bytes_and_labels_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    first = content(root)
    assert content(root.rename(tmp_path / "moved")) == first
    assert content(shard_of(tmp_path / "moved", tmp_path / "a.tar")) == first
    (tmp_path / "moved" / "c1").rename(tmp_path / "moved" / "c2")
    (tmp_path / "moved" / "c0" / "0.png").rename(tmp_path / "moved" / "c2" / "0.png")
    assert content(tmp_path / "moved") != first


@pytest.mark.parametrize("settled", [False, True])
def test_a_file_rewritten_with_the_same_size_and_time_is_other_content(root: Path, monkeypatch, settled: bool) -> None:
    if settled:
        at_rest(monkeypatch)
    first, listing = content(root), open_source(str(root), split="train").fingerprint()["digest"]
    path = root / "c0" / "2.png"
    before = path.stat()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert open_source(str(root), split="train").fingerprint()["digest"] == listing
    assert content(root) != first
    path.write_bytes(data)
    assert content(root) == first


def counting(source: Source) -> list[int]:
    read: list[int] = []
    original = source.content
    source.content = lambda index, most=-1: (read.append(index), original(index, most))[1]  # type: ignore[method-assign]
    return read


def test_what_is_at_rest_is_read_once(root: Path, monkeypatch) -> None:
    at_rest(monkeypatch)
    found = []
    for path, expected in ((None, 6), (None, 0), (root / "c1" / "3.png", 1), (root / "c1" / "9.png", 1)):
        if path is not None:
            path.write_bytes(picture(77))
        source = open_source(str(root), split="train")
        read = counting(source)
        found.append(file_digests(source, workers=0).tolist())
        assert len(read) == expected
    assert found[0] == found[1] != found[2]


def test_what_has_just_been_written_is_read_again(root: Path) -> None:
    for _ in range(2):
        source = open_source(str(root), split="train")
        read = counting(source)
        file_digests(source, workers=0)
        assert len(read) == 6


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_a_damaged_cache_costs_time_and_no_more(root: Path, cache: Path, monkeypatch, damage: bytes) -> None:
    at_rest(monkeypatch)
    first = content(root)
    for path in cache.glob("*.npz"):
        path.write_bytes(damage)
    assert content(root) == first


def test_masks_are_content_too(tmp_path: Path) -> None:
    members = squares.members(3)
    specs = []
    for name in ("a", "b"):
        shard = squares.write_shard(tmp_path / f"{name}.tar", members)
        specs.append(str(shard))
        last, data = members[-1]
        assert last.endswith("png")
        members = [*members[:-1], (last, data[:-1] + bytes([data[-1] ^ 1]))]
    first, second = open_pairs(*specs, classes=3)
    found = [named_by_content(pairs, also=[pairs.masks()], workers=0) for pairs in (first, second)]
    assert found[0]["content"] != found[1]["content"]
    assert (file_digests(first, workers=0) == file_digests(second, workers=0)).all()


def test_what_is_drawn_is_named_by_what_draws_it() -> None:
    assert (
        content("shapes:24") == open_source("shapes:24", split="train").fingerprint()["digest"] != content("shapes:25")
    )
