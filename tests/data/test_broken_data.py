"""Every kind of broken data, in one table: a clear line, or a skip that is counted, and never a short epoch."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import jpeg, policy, write_tar
from PIL import Image

from ladder_hub.data.loader import TwoViews
from ladder_hub.data.sources import BadImage, DataError, check_same_classes, open_source
from ladder_hub.errors import RunError


def encoded(image: Image.Image, kind: str, **keys) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **keys)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few dozen bytes that says it has side x side pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    parts = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]

# name of the file, its bytes, why it is left out (None: it is an image)
FILES: list[tuple[str, bytes, str | None]] = [
    ("truncated.jpg", jpeg(1)[:300], "truncated"),
    ("truncated.png", jpeg(1, kind="PNG")[:-200], "truncated"),
    ("zero.jpg", b"", "empty file"),
    ("text.jpg", b"<html>404 not found</html>", "not an image"),
    ("random.webp", bytes(range(256)) * 4, "not an image"),
    ("bomb.png", bomb(30_000), "more than 89 million pixels"),
    ("small_bomb.png", bomb(10_000), "more than 89 million pixels"),
    ("no_pixels.png", bomb(64), "truncated"),
    ("png_inside.jpg", jpeg(2, kind="PNG"), None),
    ("one_pixel.png", encoded(Image.new("RGB", (1, 1), "red"), "PNG"), None),
    ("strip.png", encoded(Image.new("RGB", (20_000, 1), "red"), "PNG"), None),
    ("cmyk.jpg", encoded(Image.new("CMYK", (40, 30)), "JPEG"), None),
    ("deep.png", encoded(Image.new("I;16", (40, 30), 40_000), "PNG"), None),
    ("palette.png", encoded(Image.new("P", (40, 30)), "PNG", transparency=0), None),
    ("frames.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), None),
]
BAD = {name: reason for name, _, reason in FILES if reason}


def test_the_table() -> None:
    assert len(FILES) == 15
    assert len(BAD) == 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    for name, data, _ in FILES:
        (root / name).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> Path:
    members = [(f"{number}_{name}", data) for number, (name, data, _) in enumerate(FILES)]
    return write_tar(tmp_path_factory.mktemp("shard") / "broken.tar", members)


@pytest.mark.parametrize("kind", ["folder", "shard"])
def test_each_is_an_image_or_says_what_is_wrong(kind: str, request: pytest.FixtureRequest) -> None:
    source = open_source(str(request.getfixturevalue(kind)), split="train")
    assert len(source) == len(FILES)
    found = {}
    for index in range(len(source)):
        try:
            assert source.image(index).shape[0] == 3
        except BadImage as error:
            found[error.key.split(":")[-1].split("_", 1)[-1] if kind == "shard" else error.key] = error.reason
    assert found == BAD


def views(source, *, batch_size: int, workers: int = 0) -> TwoViews:
    keys = {"crop_scale": (0.2, 1.0), "crop_ratio": (0.75, 4 / 3), "flip": 0.5, "policies": (policy(), policy())}
    return TwoViews(source, size=32, **keys, seed=0, batch_size=batch_size, workers=workers)


@pytest.mark.parametrize("kind", ["folder", "shard"])
@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_stays_whole_and_names_each(kind: str, workers: int, request: pytest.FixtureRequest) -> None:
    source = open_source(str(request.getfixturevalue(kind)), split="train")
    batches = list(views(source, batch_size=5, workers=workers).batches(0, samples=15))
    assert [len(batch.views[0]) for batch in batches] == [5, 5, 5]
    named = {key for batch in batches for key, _ in batch.bad}
    assert len(named) == len(BAD)


def test_nothing_but_broken_images(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    source = open_source(str(tmp_path), split="train")
    with pytest.raises(RunError, match=r"3 images tried for one place in .* can't be decoded: \d.jpg \(not an image\)"):
        next(views(source, batch_size=2).batches(0, samples=2))


def cut_in_the_middle(root: Path) -> str:
    path = write_tar(root / "cut.tar", [(f"{n}.jpg", jpeg(n)) for n in range(4)])
    path.write_bytes(path.read_bytes()[:2000])
    return str(path)


def cut_between_members(root: Path) -> str:
    path = write_tar(root / "cut.tar", [("0.jpg", jpeg(0)), ("1.jpg", jpeg(1))])
    first = 512 + -(-len(jpeg(0)) // 512) * 512
    path.write_bytes(path.read_bytes()[:first])
    return str(path)


def a_missing_shard(root: Path) -> str:
    for number in (0, 2):
        write_tar(root / f"t-{number}.tar", [("a.jpg", jpeg(number))])
    return f"{root}/t-{{0..2}}.tar"


def labels_that_are_words(root: Path) -> str:
    return str(write_tar(root / "l.tar", [("a.jpg", jpeg(0)), ("a.cls", b"cat")]))


def no_image(root: Path) -> str:
    (root / "notes.txt").write_text("none here")
    return str(root)


SETS: list[tuple[Callable[[Path], str], str]] = [
    (cut_in_the_middle, "cut.tar is cut short"),
    (cut_between_members, "is cut short or damaged at byte"),
    (a_missing_shard, "t-1.tar is missing, 1 of the 3 shards of"),
    (labels_that_are_words, "a.cls holds 'cat', not a class number"),
    (no_image, "no image in"),
]


@pytest.mark.parametrize(("make", "message"), SETS)
def test_a_set_that_can_not_be_used_is_one_line(make: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    assert len(SETS) == 5
    with pytest.raises(DataError) as error:
        open_source(make(tmp_path), split="train")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_that_do_not_match(tmp_path: Path) -> None:
    for place in ("train/cat", "train/dog", "val/cat", "val/cow"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.jpg").write_bytes(jpeg(0))
    train, val = (open_source(str(tmp_path / split), split=split) for split in ("train", "val"))
    with pytest.raises(
        DataError, match=r"different classes \(2 classes in train, 2 in val\): 'cow' is in data.val=.*only"
    ):
        check_same_classes(train, val)


def test_a_folder_with_one_image(tmp_path: Path) -> None:
    (tmp_path / "only.jpg").write_bytes(jpeg(0))
    source = open_source(str(tmp_path), split="train")
    (batch,) = views(source, batch_size=1).batches(0, samples=1)
    assert batch.indices.tolist() == [0]
