"""A folder is listed once; whatever a folder can tell makes it be listed again."""

import hashlib
import multiprocessing
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import jpeg

from ladder_hub.data import listing
from ladder_hub.data.listing import list_images
from ladder_hub.data.sources import DataError, open_source

LONG_AGO = 10**18


def write(root, *names):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * number)
    return root


def settle(root):
    """Folders at rest, as those of a data set are: one that changed within the last ticks is not kept."""
    for folder, _, _ in os.walk(root):
        os.utime(folder, ns=(LONG_AGO, LONG_AGO))
    return root


@pytest.fixture
def walks(monkeypatch):
    """The folders that were listed."""
    seen = []
    scan = listing._Tree._scan
    monkeypatch.setattr(listing._Tree, "_scan", lambda *arguments: seen.append(arguments) or scan(*arguments))
    return seen


def kept(found):
    return (
        list(found.paths),
        None if found.label is None else found.label.tolist(),
        found.class_names,
        found.digest,
    )


def test_second_time_no_folder_is_listed_and_no_file_asked(tmp_path, walks):
    root = settle(write(tmp_path / "r", "b/1.jpg", "a/x/2.jpg", "a/1.png", "a-b/3.jpg"))
    first = list_images(str(root))
    assert len(walks) == 5
    second = list_images(str(root))
    assert len(walks) == 5
    assert kept(second) == kept(first)
    assert first.class_names == ["a", "a-b", "b"]
    assert list(first.paths) == ["a-b/3.jpg", "a/1.png", "a/x/2.jpg", "b/1.jpg"]
    assert first.label.tolist() == [1, 0, 0, 2]


CHANGES = {
    "a new file": lambda root: write(root, "a/x/new.jpg"),
    "a file less": lambda root: (root / "b/1.jpg").unlink(),
    "a new name": lambda root: (root / "b/1.jpg").rename(root / "b/2.jpg"),
    "a new folder": lambda root: write(root, "c/1.jpg"),
    "a folder less": lambda root: [(root / "b/1.jpg").unlink(), (root / "b").rmdir()],
    "a folder in another's place": lambda root: [
        (root / "b").rename(root.parent / "old"),
        write(root, "b/1.jpg", "b/3.jpg"),
    ],
    "times set back": lambda root: [write(root, "a/x/new.jpg"), settle(root)],
    "a link that leads elsewhere": lambda root: [
        (root.parent / "link").unlink(),
        (root.parent / "link").symlink_to(settle(write(root.parent / "other", "z.jpg"))),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_listed_again(tmp_path, walks, change):
    root = write(tmp_path / "r", "b/1.jpg", "a/x/2.jpg")
    (tmp_path / "link").symlink_to(settle(write(tmp_path / "away", "y.jpg")))
    (root / "linked").symlink_to(tmp_path / "link")
    first = list_images(str(settle(root)))
    before = len(walks)
    CHANGES[change](root)
    second = list_images(str(root))
    assert len(walks) > before
    assert list(second.paths) != list(first.paths)
    assert list(second.paths) == expected(root)


def expected(root):
    found = [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names]
    return sorted((path.relative_to(root).as_posix() for path in found), key=os.fsencode)


def test_what_is_not_noticed(tmp_path):
    """As the docstring says: a file rewritten in place, until the folder is touched."""
    root = settle(write(tmp_path / "r", "1.jpg", "2.jpg"))
    first = list_images(str(root)).digest
    (root / "2.jpg").write_bytes(b"something longer")
    assert list_images(str(root)).digest == first
    os.utime(root)
    assert list_images(str(root)).digest != first


def test_a_folder_just_changed_is_not_kept(tmp_path, walks):
    root = write(tmp_path / "r", "1.jpg")
    for count in (1, 2):
        list_images(str(root))
        assert len(walks) == count


def test_nothing_found_is_not_kept_and_a_folder_that_went_is_an_error(tmp_path, walks):
    root = settle(write(tmp_path / "r", "1.txt"))
    for count in (1, 2):
        assert len(list_images(str(root)).paths) == 0
        assert len(walks) == count
    root = settle(write(tmp_path / "s", "1.jpg"))
    list_images(str(root))
    (root / "1.jpg").unlink()
    root.rmdir()
    with pytest.raises(DataError, match=f"^can't list {root}: No such file or directory$"):
        list_images(str(root))


@pytest.mark.parametrize("damage", ["text", "cut", "labels", "names", "missing"])
def test_a_damaged_listing_is_made_again(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    root = settle(write(tmp_path / "r", "a/1.jpg", "b/2.jpg"))
    first = list_images(str(root))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    with np.load(file) as arrays:
        changed = dict(arrays)
    if damage in ("text", "cut"):
        file.write_bytes({"text": b"hello", "cut": whole[: len(whole) // 2]}[damage])
    else:
        changed.update(
            {"labels": {"label": changed["label"][:-1]}, "names": {"paths": changed["paths"][:-1]}}.get(damage, {})
        )
        if damage == "missing":
            del changed["digest"]
        np.savez(file, **changed)
    assert kept(list_images(str(root))) == kept(first)
    assert file.stat().st_size == len(whole)


def test_digest_is_what_it_was_before_there_was_a_cache(tmp_path):
    """A resumed run compares it: paths, sizes and labels, in the order of the paths' bytes."""
    root = settle(write(tmp_path / "r", "b/1.jpg", "a/x/2.jpg", "a/1.png"))
    (root / "a" / "gone.jpg").symlink_to("nowhere")
    lines = b"a/1.png\0002\0000\na/gone.jpg\000-1\0000\na/x/2.jpg\0001\0000\nb/1.jpg\0000\0001\n"
    for _ in range(2):
        assert (
            open_source(str(settle(root)), split="train").fingerprint()["digest"] == hashlib.sha256(lines).hexdigest()
        )


NAMES = st.text(st.sampled_from("ab-./ é0"), min_size=1, max_size=12).map(lambda text: f"{text}.jpg")


@settings(max_examples=60, deadline=None)
@given(st.sets(NAMES, min_size=1, max_size=12), st.integers(0, 99))
def test_order_and_classes_are_those_of_all_paths_sorted(tmp_path_factory, names, seed):
    root = tmp_path_factory.mktemp("tree")
    good = []
    for name in sorted(names, key=lambda _: random.Random(seed).random()):
        parts = name.split("/")
        if any(not part or part.startswith(".") for part in parts):
            continue
        try:
            write(root, name)
        except (NotADirectoryError, FileExistsError, IsADirectoryError):
            continue
        good.append(name)
    found = list_images(str(root))
    assert list(found.paths) == sorted(good, key=os.fsencode)
    firsts = [path.partition("/")[0] if "/" in path else "" for path in found.paths]
    classes = sorted(set(firsts), key=os.fsencode)
    if "" in classes or len(classes) < 2:
        assert (found.label, found.class_names) == (None, None)
    else:
        assert found.class_names == classes
        assert [classes[label] for label in found.label] == firsts


def test_a_very_deep_folder(tmp_path):
    """Deeper than Python calls go."""
    root = tmp_path / "r"
    subprocess.run(["mkdir", "-p", root / ("d/" * 1200)], check=True)
    try:
        (root / ("d/" * 1200) / "1.jpg").write_bytes(jpeg(0))
        assert list(list_images(str(root)).paths) == ["d/" * 1200 + "1.jpg"]
    finally:
        subprocess.run(["rm", "-r", root], check=True)


def test_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_TELL_EVERY", 2)
    root = settle(write(tmp_path / "r", *(f"{n}.jpg" for n in range(5))))
    said = []
    list_images(str(root), progress=lambda *told: said.append(told))
    assert said == [(2, None, "listing the images"), (4, None, "listing the images")]
    open_source(str(root), split="train", progress=lambda *told: pytest.fail("it is kept"))


def test_ranks_that_start_together(tmp_path, monkeypatch):
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))
    root = settle(write(tmp_path / "r", *(f"{n % 7}/{n}.jpg" for n in range(300))))
    with multiprocessing.get_context("fork").Pool(8) as ranks:
        digests = ranks.map(_digest, [str(root)] * 24, chunksize=1)
    assert set(digests) == {_digest(str(root))}
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".npz"]


def _digest(root):
    return list_images(root).digest
