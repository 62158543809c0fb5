"""What the user types, and the one line that answers where it can't be used."""

import pytest
from pictures import jpeg, write_tar

from ladder_hub.data.sources import DataError, check_same_classes, notes_of, open_source
from ladder_hub.errors import UserError


def message(spec, split="train"):
    with pytest.raises(DataError) as caught:
        open_source(str(spec), split=split)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_empty():
    assert message("") == "data.train is empty: give a folder of images, tar shards, or shapes"
    assert message("", "val") == "data.val is empty: give a folder of images, tar shards, or shapes"


def test_missing_path_names_the_nearest_folder(tmp_path):
    (tmp_path / "a").mkdir()
    spec = tmp_path / "a" / "b" / "c"
    assert message(spec) == f"data.train={spec} does not exist; the nearest folder that does is {tmp_path / 'a'}"


def test_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    said = message(tmp_path)
    assert said.startswith(
        f"no image in {tmp_path} or below it: looked for .jpg, .jpeg, .png, .webp, .tif, .bmp, .gif and"
    )
    assert said.endswith("other endings")


def test_folder_of_shards(tmp_path):
    write_tar(tmp_path / "train-000000.tar", [("a.jpg", jpeg(0))])
    assert message(tmp_path) == (
        f"{tmp_path} holds tar shards: name one ({tmp_path}/train-000000.tar) or all by a brace pattern"
    )


def test_missing_shards_of_a_pattern(tmp_path):
    write_tar(tmp_path / "s-0.tar", [("a.jpg", jpeg(0))])
    spec = f"{tmp_path}/s-{{0..3}}.tar"
    assert message(spec) == f"{tmp_path}/s-1.tar is missing, 3 of the 4 shards of {spec} in all"


def test_glob(tmp_path):
    spec = f"{tmp_path}/*.tar"
    assert message(spec) == f"data.train={spec}: * is not expanded; write train-{{000000..000005}}.tar"


def test_unbalanced_brace(tmp_path):
    spec = f"{tmp_path}/s-{{0..3.tar"
    assert message(spec).startswith(f"{spec} is not a brace pattern (")


@pytest.mark.parametrize("spec", ["https://x.org/a.tar", "pipe:cat a.tar", "s3://b/a-{0..3}.tar", "hf://datasets/x"])
def test_remote(spec):
    assert message(spec, "val").endswith("download it first, then give the folder or the shards")
    assert "a stream, which only data.train of a training run reads" in message(spec, "val")


def test_one_image(tmp_path):
    (tmp_path / "a.JPG").write_bytes(jpeg(0))
    spec = tmp_path / "a.JPG"
    assert message(spec) == f"data.train={spec} is one image; give the folder that holds the images"


def test_another_file(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert message(tmp_path / "a.zip") == (f"data.train={tmp_path}/a.zip: a.zip is neither a folder nor a plain .tar")


@pytest.mark.parametrize("number", ["", "0", "-3", "many", "1.5"])
def test_count_of_shapes(number):
    spec = f"shapes:{number}"
    assert message(spec) == f"data.train={spec}: the number of images must be a whole number above 0, as in shapes:512"


def test_shapes():
    assert len(open_source("shapes", split="train")) == 4096
    assert len(open_source("shapes", split="val")) == 1024
    assert len(open_source("shapes:7", split="val")) == 7


def test_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    source = open_source("~/pictures", split="train")
    assert (len(source), source.spec) == (12, "~/pictures")


@pytest.mark.parametrize("spec", ["~nouser-here/x", "~nouser-here/{a,b}.tar"])
def test_unknown_user(spec):
    assert message(spec) == f"{spec}: the home folder of ~nouser-here is not known; write the path out"


def test_path_too_long():
    spec = "x" * 300
    assert message(spec) == f"can't read data.train={spec}: File name too long"


def shards_with(path, *labels):
    members = [m for n in labels for m in ((f"{n}.jpg", jpeg(n)), (f"{n}.cls", b"%d" % n))]
    return open_source(str(write_tar(path, members)), split="train")


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "1.jpg").write_bytes(jpeg(0))
    return open_source(str(root), split="train")


def test_classes_of_shards_are_compared_by_number(tmp_path):
    two, three, first = (shards_with(tmp_path / f"{len(n)}.tar", *n) for n in ((0, 1), (0, 1, 2), (0,)))
    a, b = folders(tmp_path / "a", "cat", "dog"), folders(tmp_path / "b", "cat", "cow", "dog")
    for train, val in ((two, two), (three, two), (b, three), (b, two), (three, b), (a, first)):
        check_same_classes(train, val)
    bad = [
        (two, three, "2 classes in train, 3 in val", 2, f"data.val={three.spec}"),
        (a, three, "2 classes in train, 3 in val", 2, f"data.val={three.spec}"),
        (first, b, "1 classes in train, 3 in val", 2, f"data.val={b.spec}"),
        (three, a, "3 classes in train, 2 in val", 2, f"data.train={three.spec}"),
    ]
    for train, val, counts, number, where in bad:
        with pytest.raises(DataError) as caught:
            check_same_classes(train, val)
        assert str(caught.value) == (
            f"train and val have different classes ({counts}): class number {number} is in {where} only"
        )


def test_shards_without_labels_are_not_compared(tmp_path):
    plain = open_source(str(write_tar(tmp_path / "p.tar", [("a.jpg", jpeg(0))])), split="val")
    check_same_classes(shards_with(tmp_path / "t.tar", 0), plain)


def whole_set(root, *parts):
    for part in parts:
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            (root / part / label / f"{part}.jpg").write_bytes(jpeg(len(part)))
    return str(root)


@pytest.mark.parametrize(
    ("parts", "train", "val"),
    [
        (("train", "val"), "train", "val"),
        (("test", "train", "valid"), "train", "valid"),
        (("Train", "TEST"), "Train", "TEST"),
    ],
)
def test_the_root_of_a_whole_set_is_no_set_of_classes(tmp_path, parts, train, val):
    root = whole_set(tmp_path, *parts)
    (tmp_path / "README.txt").write_text("not an image")
    for split, part in (("train", train), ("val", val)):
        source = open_source(root, split=split)
        assert source.spec == f"{root}/{part}"
        assert source.class_names == ["cat", "dog"]
        assert [source.key(i) for i in range(len(source))] == [f"cat/{part}.jpg", f"dog/{part}.jpg"]


def test_what_lies_beside_the_chosen_part_is_told(tmp_path):
    """A third folder, with images or without, and a loose picture make no classes of `train` and `val`."""
    root = whole_set(tmp_path, "train2017", "val2017", "extra")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances.json").write_text("{}")
    (tmp_path / "preview.jpg").write_bytes(jpeg(3))
    source = open_source(root, split="train")
    assert source.class_names == ["cat", "dog"]
    assert notes_of(source) == [
        f"{root} is the root of a whole set: the images of its train2017/ are taken; "
        "annotations/ and extra/ and val2017/ and 1 image beside it are not"
    ]


@pytest.mark.parametrize("above", ["images", "ILSVRC/Data/CLS-LOC"])
def test_a_root_may_lie_deeper(tmp_path, above):
    """YOLO's images/train beside labels/train, and ImageNet as Kaggle has it: no image of val is trained on."""
    whole_set(tmp_path / above, "train", "val", "test")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 1 1")
    for split in ("train", "val"):
        source = open_source(str(tmp_path), split=split)
        assert source.spec == f"{tmp_path}/{above}/{split}"
        assert {source.key(i) for i in range(len(source))} == {f"cat/{split}.jpg", f"dog/{split}.jpg"}


def test_one_folder_of_classes_is_no_root(tmp_path):
    whole_set(tmp_path, "pictures")
    source = open_source(str(tmp_path), split="train")
    assert (source.spec, len(source), notes_of(source)) == (str(tmp_path), 2, [])


def test_a_root_without_the_part_that_is_wanted_is_refused(tmp_path):
    root = whole_set(tmp_path, "test", "val")
    with pytest.raises(DataError, match="holds test and val, none of them for train; name the one you mean$"):
        open_source(root, split="train")


def test_a_class_may_be_called_train(tmp_path):
    root = whole_set(tmp_path, "train", "bus")
    assert open_source(root, split="train").class_names == ["bus", "train"]


def test_a_file_beside_the_classes_is_named(tmp_path):
    root = whole_set(tmp_path, "a", "b")
    (tmp_path / "contact_sheet.jpg").write_bytes(jpeg(1))
    source = open_source(root, split="train")
    assert (source.labels, source.unlabelled) == (None, "contact_sheet.jpg")
