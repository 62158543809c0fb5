"""Pairs of image and mask: three ways to give them, what is accepted as a mask, and what bad ones are called."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import squares
import torch
from PIL import Image

from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.pairs import PairSource, open_pairs


def one(spec: Path | str, *, classes: int = 3) -> PairSource:
    return open_pairs(str(spec), str(spec), classes=classes)[0]


def shard(folder: Path, files: list[tuple[str, bytes]]) -> Path:
    return squares.write_shard(folder / "pairs.tar", files)


def voc(root: Path, count: int, *, aug: int = 0) -> Path:
    """VOC's own layout; the last `aug` masks are in SegmentationClassAug."""
    names = []
    for number, (name, data) in enumerate(squares.members(count, palette=True)):
        stem, ending = name.split(".")
        masks = "SegmentationClassAug" if number // 2 >= count - aug else "SegmentationClass"
        file = root / ("JPEGImages" if ending == "jpg" else masks) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        names += [stem] if ending == "jpg" else []
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("\n".join(names) + "\n")
    return listed


@pytest.fixture(params=["shard", "folder", "voc", "list"])
def any_layout(request, tmp_path: Path) -> Path:
    """Four pairs, each of the ways to give them."""
    if request.param == "shard":
        return shard(tmp_path, squares.members(4))
    if request.param == "folder":
        return squares.write_folder(tmp_path / "set", 4)
    if request.param == "voc":
        return voc(tmp_path / "VOC2012", 4, aug=2)
    squares.write_folder(tmp_path / "my set", 4)
    rows = [f"my set/images/s{n:03}.jpg\tmy set/masks/s{n:03}.png" for n in range(4)]
    (tmp_path / "train.txt").write_text("\n".join(rows))
    return tmp_path / "train.txt"


def test_every_layout_gives_the_same_pairs(any_layout: Path) -> None:
    source = one(any_layout)
    assert len(source) == 4
    for index in range(4):
        image, mask = source.pair(index)
        expected_image, expected = squares.pair(index, width=48 + 4 * (index % 3))
        assert torch.equal(mask, torch.from_numpy(expected))
        assert image.shape == (3, *mask.shape)
        assert abs(image.permute(1, 2, 0).float().numpy() - expected_image).mean() < 4  # JPEG's
        assert f"s{index:03}.jpg" in source.key(index)
        assert torch.equal(source.image(index), image)
    again = pickle.loads(pickle.dumps(source))
    assert torch.equal(again.pair(2).mask, source.pair(2).mask)


def test_shards_by_brace_pattern_are_one_set(tmp_path: Path) -> None:
    files = squares.members(5)
    squares.write_shard(tmp_path / "p-0.tar", files[:6])
    squares.write_shard(tmp_path / "p-1.tar", files[6:])
    source = one(f"{tmp_path}/p-{{0..1}}.tar")
    assert [source.key(index) for index in (2, 3)] == ["p-0.tar:s002.jpg", "p-1.tar:s003.jpg"]


def test_the_index_is_kept_until_the_shard_changes(tmp_path: Path, monkeypatch) -> None:
    path = shard(tmp_path, squares.members(3))
    first = one(path)
    with monkeypatch.context() as patch:
        patch.setattr("ladder_hub.data.pairs_tar._keys", None)  # nothing is read again
        assert one(path).fingerprint() == first.fingerprint()
    shard(tmp_path, squares.members(4))
    assert len(one(path)) == 4
    assert one(path).fingerprint()["digest"] != first.fingerprint()["digest"]


@pytest.mark.parametrize("harm", ["offset", "shard", "names", "kind", "digest"])
def test_a_kept_index_that_points_elsewhere_is_made_again(harm: str, tmp_path: Path, monkeypatch) -> None:
    from ladder_hub.data import pairs_tar

    kept = {}
    monkeypatch.setattr(pairs_tar, "save_arrays", lambda name, arrays: kept.update(arrays))
    monkeypatch.setattr(pairs_tar, "load_arrays", lambda name: kept or None)
    path = shard(tmp_path, squares.members(3))
    expected = one(path).pair(1).mask
    spans = kept["spans"].copy()
    spans[1, 0, 0] = path.stat().st_size
    harms = {
        "offset": {"spans": spans},
        "shard": {"shard": kept["shard"] + 1},
        "names": {"ends": kept["ends"][:-1]},
        "kind": {"lone": np.array("many")},
        "digest": {"digest": np.array("\n")},
    }
    kept.update(harms[harm])
    assert torch.equal(one(path).pair(1).mask, expected)


def test_images_may_be_png_too(tmp_path: Path) -> None:
    image, mask = squares.pair(0)
    path = shard(tmp_path, [("a.png", squares.png(image)), ("a.mask.png", squares.png(mask))])
    assert torch.equal(one(path).pair(0).image.permute(1, 2, 0), torch.from_numpy(image))
    for part, array in (("images", image), ("masks", mask)):
        (tmp_path / "set" / part / "aachen").mkdir(parents=True)
        (tmp_path / "set" / part / "aachen" / "b.png").write_bytes(squares.png(array))
    assert one(tmp_path / "set").key(0) == "images/aachen/b.png"


@pytest.mark.parametrize("palette", [False, True])
def test_a_palette_png_gives_indices_not_colours(palette: bool, tmp_path: Path) -> None:
    image, mask = squares.pair(3)
    path = shard(tmp_path, [("a.jpg", squares.jpeg(image)), ("a.png", squares.png(mask, palette=palette))])
    assert torch.equal(one(path).pair(0).mask, torch.from_numpy(mask))


def test_images_without_a_mask_are_left_out_and_counted(tmp_path: Path) -> None:
    files = squares.members(4)
    path = shard(tmp_path, [file for file in files if file[0] != "s001.png"])
    assert (len(one(path)), one(path).lone) == (3, 1)
    root = squares.write_folder(tmp_path / "set", 4)
    (root / "masks" / "s002.png").unlink()
    assert (len(one(root)), one(root).lone) == (3, 1)


@pytest.mark.parametrize(
    ("names", "pairs", "lone"),
    [
        (["a.jpg", "a.png", "a.jpg", "a.png"], ["a.jpg", "a.jpg"], 0),
        (["a.jpeg", "a.jpg", "a.png", "b.jpg", "b.png"], ["a.jpeg", "b.jpg"], 1),
        (["a.jpg", "a.png", "a.mask.png"], ["a.jpg"], 1),
        (["a.jpg", "a.jpg", "a.png"], ["a.jpg"], 1),
    ],
)
def test_no_picture_of_a_shard_of_pairs_vanishes(names, pairs, lone, tmp_path: Path) -> None:
    """A name again is a pair of its own; a second picture of a key is counted."""
    images = {name: squares.png(squares.pair(0)[1]) for name in names}
    images |= {name: squares.jpeg(squares.pair(0)[0]) for name in names if not name.endswith("png")}
    path = shard(tmp_path, [(name, images[name]) for name in names])
    for _ in range(2):  # read, and from the cache
        source = one(path)
        assert [source.key(i).partition(":")[2] for i in range(len(source))] == pairs
        assert source.lone == lone
        assert source.note == (f"{lone} images have no mask of their own and are left out" if lone else "")


def test_two_images_of_one_name_in_a_folder_are_counted(tmp_path: Path) -> None:
    root = squares.write_folder(tmp_path / "set", 4)
    image = next((root / "images").iterdir())
    image.with_suffix(".bmp").write_bytes(image.read_bytes())
    assert (len(one(root)), one(root).lone) == (4, 1)


def broken(mask: bytes) -> list[tuple[str, bytes]]:
    """A set whose second pair has this mask."""
    files = squares.members(3)
    return [files[0], files[1], files[2], ("s001.png", mask), *files[4:]]


def sixteen_bits() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 52), 300, dtype=np.uint16)).save(file, "PNG")
    return file.getvalue()


BAD_MASKS = {
    "size": (squares.png(np.zeros((40, 50), np.uint8)), "the mask is 50x40, the image 52x40"),
    "colours": (
        squares.png(np.zeros((40, 52, 3), np.uint8)),
        "the mask holds RGB colours; one channel of class indices",
    ),
    "label": (
        squares.png(np.full((40, 52), 3, np.uint8)),
        r"label 3 in the mask, but the classes are 0 to 2 \(and 255",
    ),
    "wide": (sixteen_bits(), "label 300 in the mask"),
    "damaged": (squares.png(np.zeros((40, 52), np.uint8))[:60], "the mask is no PNG, or damaged"),
    "jpeg": (squares.jpeg(np.zeros((40, 52), np.uint8)), "the mask is no PNG, or damaged"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_bad_mask_is_named_with_its_reason(kind: str, tmp_path: Path) -> None:
    mask, reason = BAD_MASKS[kind]
    source = one(shard(tmp_path, broken(mask)))
    assert source.pair(0).mask.shape == (40, 48)
    with pytest.raises(BadImage, match=reason) as caught:
        source.pair(1)
    assert caught.value.key == "pairs.tar:s001.jpg"


@pytest.mark.parametrize("kind", ["colours", "label"])
def test_where_none_is_right_the_data_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    mask, reason = BAD_MASKS[kind]
    image = squares.jpeg(np.zeros((40, 52, 3), np.uint8))
    path = shard(tmp_path, [(f"{n}.{e}", d) for n in range(5) for e, d in (("jpg", image), ("png", mask))])
    with pytest.raises(DataError, match=rf"data.train=.*pairs.tar: pairs.tar:0.jpg: .*{reason[:20]}"):
        one(path)


def test_the_classes_come_from_the_key_or_from_classes_txt(tmp_path: Path) -> None:
    path = shard(tmp_path, squares.members(2))
    with pytest.raises(DataError, match="how many classes there are is not known: give data.classes=21"):
        one(path, classes=0)
    assert (one(path).classes, one(path).class_names) == (3, None)
    (tmp_path / "classes.txt").write_text("0\tbackground\n1\tpotted plant\n2\tdisc\n255\tvoid (ignore)\n")
    assert one(path, classes=0).class_names == ["background", "potted plant", "disc"]
    with pytest.raises(DataError, match="data.classes=4, but classes.txt names 3"):
        one(path, classes=4)
    (tmp_path / "classes.txt").write_text("0 a\n2 b\n")
    with pytest.raises(DataError, match=r"classes.txt: the indices must be 0, 1, 2, ...; 1 is missing"):
        one(path, classes=0)


def test_train_and_val_must_have_the_same_classes(tmp_path: Path) -> None:
    train, val = (squares.write_folder(tmp_path / split, 2) for split in ("train", "val"))
    (val / "classes.txt").write_text("background\ndisc\nsquare")
    with pytest.raises(DataError, match=r"the classes.txt of data.train=.* and that of data.val=.* differ"):
        open_pairs(str(train), str(val))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", r"data.train is empty: give a .tar of <key>.jpg and <key>.png"),
        ("nowhere.tar", "data.train=.*nowhere.tar does not exist"),
        ("notes.md", "notes.md is neither a folder, nor a .tar, nor a .txt list"),
        ("empty", "needs the folders images and masks"),
        ("shards", r"holds tar shards: name one \(.*shards/a.tar\)"),
        ("VOC2012", "is laid out as VOC is: name the list, .*ImageSets/Segmentation/train.txt"),
        ("unlike", r"no image in images/ has a mask of the same name in masks/ \(1 images, 1 PNGs\)"),
        ("lonely.tar", "has no pairs but 2 images without a mask"),
        ("blank.txt", "lists nothing"),
        ("three.txt", "line 2 is neither a name nor an image and a mask"),
        ("gone.txt", "2 of the files that .*gone.txt names are not there: x.jpg, y.png"),
        ("names.txt", "needs VOC's folders: JPEGImages is not two folders above"),
    ],
)
def test_what_is_no_set_of_pairs_says_what_it_should_be(spec: str, message: str, tmp_path: Path) -> None:
    image, mask = squares.pair(0)
    for folder in ("empty", "shards", "unlike/images", "unlike/masks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "unlike" / "images" / "a.jpg").write_bytes(squares.jpeg(image))
    (tmp_path / "unlike" / "masks" / "b.png").write_bytes(squares.png(mask))
    (tmp_path / "shards" / "a.tar").touch()
    squares.write_shard(tmp_path / "lonely.tar", [("a.jpg", squares.jpeg(image)), ("b.png", squares.png(image))])
    voc(tmp_path / "VOC2012", 2)
    for name, text in {
        "notes.md": "",
        "blank.txt": "\n",
        "three.txt": "x.jpg y.png\na b c\n",
        "gone.txt": "x.jpg y.png\n",
        "names.txt": "2007_000032\n",
    }.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        one(f"{tmp_path}/{spec}" if spec else "")


@pytest.mark.real
def test_voc(real_data: Path) -> None:
    root = real_data / "voc2012-seg"
    train, val = open_pairs(str(root / "train.tar"), str(root / "val.tar"))
    assert (len(train), len(val), train.classes, train.lone) == (1159, 290, 21, 0)
    assert train.class_names is not None
    assert (train.class_names[0], train.class_names[20]) == ("background", "tvmonitor")
    for index in range(0, len(val), 29):
        image, mask = val.pair(index)
        assert image.shape[1:] == mask.shape
        assert set(mask.unique().tolist()) <= {*range(21), 255}
