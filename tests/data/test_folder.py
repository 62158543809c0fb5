import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from pictures import jpeg

from ladder_hub.data.decode import decode
from ladder_hub.data.folder import public_name
from ladder_hub.data.sources import BadImage, DataError, check_same_classes, open_source


def write(root, *names):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(number))
    return str(root)


def keys(source):
    return [source.key(index) for index in range(len(source))]


def test_lists_in_order_with_classes(folder):
    source = open_source(str(folder), split="train")
    assert keys(source) == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.jpg"))
    assert source.class_names == ["cat", "dog"]
    assert source.labels.dtype == np.int64
    assert source.labels.tolist() == [0] * 6 + [1] * 6
    assert (source.image(3) == decode((folder / source.key(3)).read_bytes())).all()


def test_hidden_files_other_files_and_capitals(tmp_path):
    root = write(tmp_path, "a.JPG", ".b.jpg", ".git/c.jpg", "d.txt", "e", "f/g.jpeg")
    assert keys(open_source(root, split="train")) == ["a.JPG", "f/g.jpeg"]


@pytest.mark.parametrize(
    "names",
    [("a.jpg", "b.jpg"), ("x/a.jpg", "y/b.jpg", "c.jpg"), ("x/a.jpg", "x/y/b.jpg", "x/z/c.jpg")],
    ids=["flat", "one image at the top", "one first-level folder"],
)
def test_no_labels(tmp_path, names):
    source = open_source(write(tmp_path, *names), split="train")
    assert source.labels is None
    assert source.class_names is None


def test_class_is_the_first_level_however_deep(tmp_path):
    source = open_source(write(tmp_path, "b/1/x.jpg", "a/2/3/y.jpg", "b/z.jpg"), split="train")
    assert (keys(source), source.labels.tolist()) == (["a/2/3/y.jpg", "b/1/x.jpg", "b/z.jpg"], [0, 1, 1])


def test_follows_links_to_folders_but_not_in_circles(tmp_path):
    write(tmp_path / "real", "a.jpg")
    write(tmp_path / "root", "b.jpg")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    assert keys(open_source(str(tmp_path / "root"), split="train")) == ["b.jpg", "linked/a.jpg"]


def test_links_to_themselves_are_skipped(tmp_path):
    root = write(tmp_path / "root", "b.jpg")
    for name, target in (("self.jpg", "self.jpg"), ("one", "two"), ("two", "one")):
        (tmp_path / "root" / name).symlink_to(target)
    assert keys(open_source(root, split="train")) == ["b.jpg"]


def test_subfolder_that_cannot_be_read(tmp_path, monkeypatch):
    root = write(tmp_path / "root", "a/1.jpg", "b/1.jpg")
    scandir = os.scandir

    def scan(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(DataError) as caught:
        open_source(root, split="train")
    assert str(caught.value) == f"can't list {root}/b: Permission denied"


def test_link_that_cannot_be_followed(tmp_path):
    root = write(tmp_path / "root", "a.jpg")
    (tmp_path / "root" / "b").symlink_to("x" * 300)
    with pytest.raises(DataError) as caught:
        open_source(root, split="train")
    assert str(caught.value) == f"can't read {root}/b: File name too long"


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("/home/alice/images", "images"),
        ("/home/alice/birds", "birds"),
        ("/home/alice/birds/train", "birds/train"),
        ("/home/images", "images"),
        ("/Users/alice/train", "train"),
        ("/root/val", "val"),
        ("/root/birds/val", "val"),
        ("/elsewhere/people/bob/train", "train"),
        ("/elsewhere/people/bob", "~"),
        ("/elsewhere/people/bob/birds/Test", "birds/Test"),
        ("/train", "train"),
    ],
)
def test_public_name_names_nobody(monkeypatch, root, name):
    monkeypatch.setenv("HOME", "/elsewhere/people/bob")
    assert public_name(Path(root)) == name


def test_names_that_are_not_utf8(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg(0))
    source = open_source(str(tmp_path), split="train")
    assert os.fsencode(source.key(0)) == b"caf\xe9.jpg"
    assert source.image(0).shape == (3, 32, 40)
    assert len(source.fingerprint()["digest"]) == 64


def test_bad_images_say_which_and_why(tmp_path):
    write(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "a.jpg").write_bytes(b"")
    source = open_source(str(tmp_path), split="train")
    (tmp_path / "b.jpg").unlink()
    for index, expected in ((0, ("a.jpg", "empty file")), (1, ("b.jpg", "No such file or directory"))):
        with pytest.raises(BadImage) as caught:
            source.image(index)
        assert (caught.value.key, caught.value.reason) == expected


def test_fingerprint_follows_the_content_and_hides_the_place(tmp_path):
    for place in ("one/photos", "two/photos"):
        write(tmp_path / place, "x/a.jpg", "y/b.jpg")
    first, second = (open_source(str(tmp_path / p / "photos"), split="train") for p in ("one", "two"))
    print_ = first.fingerprint()
    assert print_ == second.fingerprint()
    assert {k: print_[k] for k in ("source", "name", "count", "classes")} == {
        "source": "folder",
        "name": "photos",
        "count": 2,
        "classes": 2,
    }
    (tmp_path / "two/photos/y/b.jpg").write_bytes(jpeg(9, width=80))
    assert open_source(second.spec, split="train").fingerprint()["digest"] != print_["digest"]


def test_fingerprint_of_a_train_folder_names_the_one_above(tmp_path):
    assert (
        open_source(write(tmp_path / "birds" / "train", "a.jpg"), split="train").fingerprint()["name"] == "birds/train"
    )


def test_pickles(folder):
    source = open_source(str(folder), split="train")
    again = pickle.loads(pickle.dumps(source))
    assert keys(again) == keys(source)
    assert (again.image(5) == source.image(5)).all()


def test_same_classes(tmp_path):
    train = open_source(write(tmp_path / "t", "a/1.jpg", "b/1.jpg", "c/1.jpg"), split="train")
    val = open_source(write(tmp_path / "v", "a/1.jpg", "b/1.jpg"), split="val")
    plain = open_source(write(tmp_path / "p", "1.jpg"), split="val")
    check_same_classes(train, train)
    check_same_classes(train, plain)
    with pytest.raises(DataError) as caught:
        check_same_classes(train, val)
    assert str(caught.value) == (
        f"train and val have different classes (3 classes in train, 2 in val): 'c' is in data.train={tmp_path}/t only"
    )
