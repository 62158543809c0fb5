"""`check` on every kind of data: what it finds is what was put there, and where a figure would lie it ends with 2."""

import io
import itertools
import json
import tarfile
from pathlib import Path
from typing import Any

import coco_factory as factory
import numpy as np
import pytest
import squares
from pages import Page
from PIL import Image
from rich.console import Console

from ladder_hub.check.page import page
from ladder_hub.check.report import Report
from ladder_hub.check.run import check
from ladder_hub.check.told import to_json, to_lines
from ladder_hub.cli import main
from ladder_hub.errors import UserError

QUIET = Console(quiet=True)
KEYS = ["data.workers=0"]


def picture(seed: int, side: int = 48) -> Image.Image:
    """Smooth noise: no two alike."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def classes(first: int, count: int, names: str = "ab") -> dict[str, bytes]:
    return {
        f"{name}/{n}.png": encoded(picture(100 * n + ord(name))) for name in names for n in range(first, first + count)
    }


def look(*words: str, alone: str = "") -> Report:
    return check(alone, [*KEYS, *words], console=QUIET)


def both(tmp_path: Path, train: dict[str, bytes], val: dict[str, bytes]) -> Report:
    return look(f"data.train={write(tmp_path / 'train', train)}", f"data.val={write(tmp_path / 'val', val)}")


def test_sound_sets_have_no_fault(tmp_path: Path) -> None:
    report = both(tmp_path, classes(0, 6), classes(6, 3))
    assert report.faults == []
    facts = to_json(report)
    assert [found["images"] for found in facts["sets"]] == [12, 6]
    assert facts["sets"][0]["labels"] == {"a": 6, "b": 6}
    assert (facts["overlap"]["images"], facts["near"]["images"]) == (0, 0)
    assert dict(to_lines(report))["in both"] == "none"


def test_kinds_sizes_and_broken_images_are_those_that_were_put_there(tmp_path: Path) -> None:
    files = {
        "0.jpg": encoded(picture(0, 64), "JPEG"),
        "1.png": encoded(picture(1, 20)),
        "2.tif": encoded(picture(2).convert("CMYK"), "TIFF"),
        "3.gif": encoded(picture(3).convert("P"), "GIF"),
        "4.jpg": encoded(picture(4), "JPEG")[:300],
        "5.png": b"",
        "6.bmp": b"no image",
    }
    (found,) = look(alone=str(write(tmp_path / "set", files))).sets
    assert found.look.formats() == {"JPEG": 1, "PNG": 1, "TIFF": 1, "GIF": 1}
    assert found.look.modes() == {"RGB": 2, "CMYK": 1, "P": 1}
    assert found.look.sizes() == [(20, 20), (48, 48), (64, 64)]
    broken = {found.data.images.key(one.place): one.reason for one in found.look.broken}
    assert broken == {"4.jpg": "truncated", "5.png": "empty file", "6.bmp": "not an image"}


def test_equal_files_in_a_set_and_their_labels(tmp_path: Path) -> None:
    train = classes(0, 4)
    train |= {"a/x.png": train["a/0.png"], "b/x.png": train["a/1.png"], "b/y.png": train["a/1.png"]}
    report = both(tmp_path, train, classes(4, 2))
    (found, _) = report.sets
    keys = [sorted(found.data.images.key(int(index)) for index in group) for group in found.repeated]
    assert sorted(keys) == [["a/0.png", "a/x.png"], ["a/1.png", "b/x.png", "b/y.png"]]
    assert [len(group) for group in found.other_labels()] == [3]
    assert found.near.images == 0  # equal is not alike
    assert report.faults == ["data.train: 3 of 11 images have an equal one with another label"]


def test_copies_compressed_again_or_resized_are_alike_and_others_are_not(tmp_path: Path) -> None:
    train = {f"{n}.png": encoded(picture(n)) for n in range(8)}
    val = {
        "a.jpg": encoded(picture(2), "JPEG", quality=60),
        "b.png": encoded(picture(5).resize((30, 30))),
        "c.png": encoded(picture(99)),
    }
    report = both(tmp_path, train, val)
    names = {(report.sets[0].data.images.key(a), report.sets[1].data.images.key(b)) for a, b in report.near.pairs}
    assert names == {("2.png", "a.jpg"), ("5.png", "b.png")}
    assert report.near.images == 2
    assert report.faults == []  # a look is not a proof


def test_images_of_one_colour_are_not_alike(tmp_path: Path) -> None:
    files = {f"{n}.png": encoded(Image.new("RGB", (40, 40), (n, n, n))) for n in range(5)}
    (found,) = look(alone=str(write(tmp_path / "set", files))).sets
    assert found.near.images == 0


def test_an_overlap_of_more_than_a_hundredth_is_a_fault(tmp_path: Path) -> None:
    train, val = classes(0, 4), classes(4, 2)
    val["a/seen.png"] = train["b/3.png"]
    report = both(tmp_path, train, val)
    assert [report.sets[1].data.images.key(int(index)) for index in report.shared] == ["a/seen.png"]
    (fault,) = report.faults
    assert fault.startswith("1 of the 5 images of data.val are in data.train too")


def test_classes_that_train_lacks_and_a_single_class(tmp_path: Path) -> None:
    report = both(tmp_path, classes(0, 3), classes(3, 2, "abc"))
    assert report.faults == ["1 of the 3 classes of data.val have no image in data.train: c"]
    one = io.BytesIO()
    with tarfile.open(fileobj=one, mode="w") as tar:
        for n, (ending, data) in itertools.product(range(2), (("png", b""), ("cls", b"0"))):
            data = data or encoded(picture(n))
            member = tarfile.TarInfo(f"{n}.{ending}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (tmp_path / "one.tar").write_bytes(one.getvalue())
    assert look(alone=str(tmp_path / "one.tar")).faults == [
        "data: all images are of one class: there is nothing to tell apart"
    ]


def test_pairs_in_a_folder_a_shard_and_a_list(tmp_path: Path) -> None:
    root = squares.write_folder(tmp_path / "set", 5)
    squares.write_shard(tmp_path / "set.tar", squares.members(5))
    (tmp_path / "list.txt").write_text("\n".join(f"set/images/s00{n}.jpg set/masks/s00{n}.png" for n in range(5)))
    expected = None
    for spec, keys in (
        (root, []),
        (tmp_path / "set.tar", ["data.classes=3"]),
        (tmp_path / "list.txt", ["data.classes=3"]),
    ):
        (found,) = (report := look(*keys, alone=str(spec))).sets
        assert report.faults == []
        facts = to_json(report)["sets"][0]["masks"]
        expected = expected or facts
        assert facts == expected
        assert set(facts["values"]) == {"0", "1", "2", "255"}
        assert found.look.total == 5


def test_masks_of_which_no_figure_can_be_made(tmp_path: Path) -> None:
    root = squares.write_folder(tmp_path / "set", 3)
    (root / "classes.txt").unlink()
    report = look(alone=str(root))
    assert report.faults == []
    assert "which hold 0, 1, 2, 255; how many classes is not said: data.classes=3?" in dict(to_lines(report))["  masks"]
    (fault,) = look("data.classes=4", alone=str(root)).faults
    assert "1 of the 4 classes are in none of its 3 masks" in fault
    for path in (root / "masks").iterdir():
        Image.fromarray(np.where(np.array(Image.open(path)) == 1, 255, 0).astype(np.uint8)).save(path)
    (fault,) = look(alone=str(root)).faults
    assert "its masks hold 0 and 255 alone" in fault
    assert look("data.values=[0,255]", alone=str(root)).faults == []


def test_annotations(tmp_path: Path) -> None:
    train, val = factory.document(5), factory.document(3, seed=1, empty=0)
    train["annotations"][0] |= {"iscrowd": 1}
    train["annotations"][1] |= {"bbox": [-40, 0, 60, 20]}
    factory.write(tmp_path, train, "train.json", tar=True)
    factory.write(tmp_path / "val", val, "val.json")
    keys = [f"data.train={tmp_path / 'train.json'}", f"data.val={tmp_path / 'val' / 'val.json'}"]
    keys += [f"data.images={tmp_path / 'images.tar'}", f"data.val_images={tmp_path / 'val' / 'images'}"]
    report = look(*keys)
    boxes = to_json(report)["sets"][0]["boxes"]
    assert boxes == {
        "categories": {"red": 3, "blue": 4},
        "crowds": 1,
        "images_without": 1,
        "left_out": {"cut at the edge of their image": 1},
    }
    assert report.faults == ["data.train: 1 of 8 annotations can't be used as they stand"]
    text = page(report)
    assert Page(text).check() == []


def test_a_dataset_of_the_hub_a_stream_and_what_is_drawn(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
    images = [{"bytes": encoded(picture(n)), "path": None} for n in (0, 1, 2, 1)]
    (tmp_path / "hub").mkdir()
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 0]}, features=features)
    rows.to_parquet(tmp_path / "hub" / "train-00000-of-00001.parquet")
    (found,) = look(alone=f"hf:{tmp_path / 'hub'}").sets
    assert [group.tolist() for group in found.other_labels()] == [[1, 3]]
    squares.write_shard(tmp_path / "s.tar", [(f"{n}.png", encoded(picture(n))) for n in range(3)])
    (found,) = look(alone=(tmp_path / "s.tar").as_uri()).sets
    assert (found.look.total, found.data.kind) == (3, "held")
    report = look("data.train=shapes:20", "data.val=shapes:10")
    assert [found.look.formats() for found in report.sets] == [{"PNG": 20}, {"PNG": 10}]
    assert report.shared.size == 0


def test_a_sample_is_said_to_be_one(tmp_path: Path) -> None:
    report = look("n=4", alone=str(write(tmp_path / "set", classes(0, 5))))
    assert len(report.sets[0].look.seen) == 4
    assert "10 images, 4 of them decoded" in dict(to_lines(report))["data"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "check takes one source, or data.train=IMAGES data.val=IMAGES"),
        (["data.train=shapes"], "check takes one source, or data.train=IMAGES data.val=IMAGES"),
        (["data.tarin=x"], "unknown key"),
        (["n=0"], "n"),
    ],
)
def test_what_cannot_be_asked(words: list[str], message: str, tmp_path: Path) -> None:
    alone = "shapes:4" if words and words[0] != "" and "train" in words[0] else ""
    with pytest.raises(UserError, match=message):
        look(*words, alone=alone)


def test_the_command_prints_a_table_or_json_and_ends_with_2_where_a_figure_would_lie(tmp_path: Path, capsys) -> None:
    root = str(write(tmp_path / "set", classes(0, 3)))
    with pytest.raises(SystemExit) as end:
        main(["check", f"data.train={root}", f"data.val={root}", *KEYS, "--json", f"out={tmp_path / 'page.html'}"])
    said = capsys.readouterr()
    assert end.value.code == 2
    assert json.loads(said.out)["overlap"]["images"] == 6
    assert said.err.count("\n") == 1
    assert "an evaluation of this would lie: 6 of the 6 images of data.val are in data.train too" in said.err
    assert (tmp_path / "page.html").exists()
    with pytest.raises(SystemExit) as end:
        main(["check", root, *KEYS])
    assert end.value.code == 0
    assert "2 classes of 3 (a) to 3 (a) images" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["check", root, root])
    assert end.value.code == 2


def test_the_page_is_sound_and_no_name_becomes_markup(tmp_path: Path) -> None:
    train = {f"a/<script>{n}.png": encoded(picture(n)) for n in range(3)} | {
        f"b/{n}.png": encoded(picture(n)) for n in range(2, 5)
    }
    train["b/broken.png"] = b"no image"
    report = both(tmp_path, train, {"a/1.png": encoded(picture(1)), "b/<b>.png": encoded(picture(50))})
    text = page(report)
    read = Page(text)
    assert read.check() == []
    assert read.addresses == []
    assert "a/<script>0.png" in read.text
    assert "<script>0" not in text
    assert len(read.all("img")) > 8


def test_a_file_that_is_no_page_of_ours_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(UserError, match="exists and is no page of ladder-hub check"):
        look(f"out={tmp_path / 'page.html'}", alone="shapes:4")
    assert (tmp_path / "page.html").read_text() == "mine"


def test_folders_of_pairs_where_it_runs_do_not_make_a_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is no path: what lies in the working folder says nothing of it."""
    monkeypatch.chdir(squares.write_folder(tmp_path / "here", 2))
    with pytest.raises(UserError, match="there is no folder /nowhere"):
        look(alone="hf:/nowhere")
    with pytest.raises(UserError, match=r"^nowhere does not exist"):
        look(alone="nowhere")
