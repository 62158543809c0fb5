"""Images in both sets are found by their bytes, whatever they are called and wherever they lie."""

import io
import tarfile
from pathlib import Path

import pytest
from pictures import jpeg

from ladder_hub.data.overlap import count_overlap, shared_images
from ladder_hub.data.pairs import open_pairs
from ladder_hub.data.sources import Source, open_source


def write(root: Path, contents: list[bytes]) -> Path:
    root.mkdir(parents=True)
    for number, content in enumerate(contents):
        (root / f"{number:03}.jpg").write_bytes(content)
    return root


def tarred(path: Path, contents: list[bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, content in enumerate(contents):
            member = tarfile.TarInfo(f"n{number}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def opened(path: Path, split: str = "train") -> Source:
    return open_source(str(path), split=split)


def long(first: int, last: int) -> bytes:
    """A JPEG with bytes behind its end, beyond the first page: equal size whatever they are."""
    return jpeg(first) + b"\0" * 5000 + bytes([last])


def test_equal_bytes_under_other_names_in_a_folder_and_a_shard(tmp_path: Path) -> None:
    train = opened(write(tmp_path / "train", [jpeg(number) for number in range(6)]))
    contents = [jpeg(50), jpeg(4), jpeg(51), jpeg(0), jpeg(0)]
    for val in (write(tmp_path / "val", contents), tarred(tmp_path / "val.tar", contents)):
        assert shared_images(train, opened(val, "val")).tolist() == [1, 3, 4]


def test_equal_size_and_first_page_are_not_enough(tmp_path: Path) -> None:
    train = opened(write(tmp_path / "train", [long(0, 1), long(1, 1)]))
    val = opened(write(tmp_path / "val", [long(0, 2), long(1, 1), long(1, 3)]), "val")
    assert len({train.size(0), val.size(0)}) == 1
    assert train.content(0, 4096) == val.content(0, 4096)
    assert shared_images(train, val).tolist() == [1]


def test_a_file_rewritten_in_place_is_seen(tmp_path: Path) -> None:
    """The listing does not notice it: sizes and bytes are read as they are now."""
    root = write(tmp_path / "train", [jpeg(0), jpeg(1)])
    train, val = opened(root), opened(write(tmp_path / "val", [jpeg(7)]), "val")
    assert shared_images(train, val).tolist() == []
    (root / "001.jpg").write_bytes(jpeg(7))
    assert shared_images(opened(root), val).tolist() == [0]


def test_what_cannot_be_read_is_no_image_of_both(tmp_path: Path) -> None:
    root = write(tmp_path / "train", [jpeg(0), jpeg(1)])
    train, val = opened(root), opened(write(tmp_path / "val", [jpeg(1)]), "val")
    (root / "001.jpg").unlink()
    assert shared_images(train, val).tolist() == []


def test_it_is_told_with_names_and_nothing_is_told_where_there_is_none(tmp_path: Path) -> None:
    train = opened(write(tmp_path / "train", [jpeg(number) for number in range(5)]))
    said: list[str] = []
    assert count_overlap(train, opened(write(tmp_path / "other", [jpeg(9)]), "val"), said.append) == 0
    assert said == []
    assert count_overlap(train, train, said.append) == 5
    assert said == [
        "data.val and data.train overlap: 5 of the 5 images of data.val are in data.train too, byte for byte "
        "(000.jpg, 001.jpg, 002.jpg, ...)"
    ]


def test_workers_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ladder_hub.data.overlap._FEW", 2)
    monkeypatch.setattr("ladder_hub.data.overlap._BATCH", 3)
    train = opened(tarred(tmp_path / "train.tar", [jpeg(number) for number in range(10)]))
    val = opened(tarred(tmp_path / "val.tar", [jpeg(number) for number in range(5, 15)]), "val")
    assert shared_images(train, val, workers=2).tolist() == [0, 1, 2, 3, 4]


def test_drawn_images_have_no_file_to_compare() -> None:
    train, val = (open_source("shapes:8", split=split) for split in ("train", "val"))
    assert train.size(0) < 0
    assert shared_images(train, val).tolist() == []


def test_rows_of_a_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
    rows = {"image": [{"bytes": jpeg(n), "path": None} for n in range(4)], "label": [0, 1, 0, 1]}
    (tmp_path / "hub").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    hub = open_source(f"hf:{tmp_path / 'hub'}", split="train")
    assert [hub.size(index) for index in range(4)] == [len(jpeg(n)) for n in range(4)]
    val = opened(write(tmp_path / "val", [jpeg(2), jpeg(9)]), "val")
    assert shared_images(hub, val).tolist() == [0]
    assert shared_images(val, hub).tolist() == [2]


def test_pairs_in_a_shard_and_in_a_folder(tmp_path: Path) -> None:
    import squares

    squares.write_folder(tmp_path / "train", 4)
    squares.write_shard(tmp_path / "val.tar", squares.members(4, first=2))
    train, val = open_pairs(str(tmp_path / "train"), str(tmp_path / "val.tar"))
    assert shared_images(train, val).tolist() == [0, 1]


def test_tiny_imagenet_has_an_image_of_val_in_train(real_data: Path) -> None:
    """A known flaw of the original; of its two such images one is among the six shards that are here."""
    root = real_data / "tiny-imagenet-100"
    train = open_source(f"{root}/train-{{000000..000005}}.tar", split="train")
    val = open_source(f"{root}/val-000000.tar", split="val")
    found = shared_images(train, val)
    assert [val.key(int(index)) for index in found] == ["val-000000.tar:val_5035.jpg"]
    same_size = [index for index in range(len(train)) if train.size(index) == val.size(int(found[0]))]
    assert val.content(int(found[0])) in {train.content(index) for index in same_size}
