"""COCO JSONs, masks of every kind against pycocotools, and images by name from a folder or a tar."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import coco_factory as factory
import numpy as np
import pytest
import torch
from coco_factory import HEIGHT, WIDTH, annotation, document, rectangle
from pycocotools import mask as reference

from ladder_hub.data.image_source import BadImage
from ladder_hub.downstream.detection.coco import CocoError, CocoSet, check_same_categories
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import MaskError, checked_mask, encoded, to_masks
from ladder_hub.downstream.detection.coco_reader import read_coco


def read(folder: Path, coco: Any, name: str = "train.json") -> CocoSet:
    return read_coco(str(factory.write(folder, coco, name)), key="data.train")


def packed(mask: np.ndarray) -> dict[str, Any]:
    rle = reference.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


# ---- masks ----


def test_the_kinds_of_run_lengths_give_the_mask_itself() -> None:
    rng = np.random.default_rng(3)
    for shape in ((7, 5), (1, 1), (40, 33)):
        mask = (rng.random(shape) < 0.4).astype(np.uint8)
        plain = {"size": list(shape), "counts": factory.runs(mask)}
        found = to_masks([checked_mask(rle, *shape) for rle in (plain, packed(mask))], *shape)
        assert found.dtype == torch.uint8
        np.testing.assert_array_equal(found.numpy(), [mask, mask])


def test_polygons_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        parts = [(rng.random(2 * corners) * 40).tolist() for corners in (3, 4, 7)]
        expected = reference.decode(reference.merge(reference.frPyObjects(parts, 37, 41)))
        np.testing.assert_array_equal(to_masks([checked_mask(parts, 37, 41)], 37, 41)[0].numpy(), expected)


def test_encoding_is_that_of_pycocotools() -> None:
    masks = torch.rand(4, 9, 13, generator=torch.Generator().manual_seed(0)) < 0.5
    masks[1], masks[2] = True, False
    assert encoded(masks) == [packed(mask.numpy().astype(np.uint8)) for mask in masks]
    assert encoded(masks[:0]) == []


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "without a mask"),
        ([], "without a mask"),
        ([[1, 2, 3, 4]], "with a broken mask"),
        ([[1, 2, 3, 4, 5, 6, 7]], "with a broken mask"),
        ([[1, 2, 3, 4, 5, "6"]], "with a broken mask"),
        ([[1, 2, 3, 4, 5, float("inf")]], "with a broken mask"),
        ("polygon", "with a broken mask"),
        ({"size": [4, 5]}, "with a broken mask"),
        ({"size": [5, 4], "counts": [20]}, "with a mask of another size than the image"),
        ({"size": [4, 5], "counts": [3]}, "with a broken mask"),
        ({"size": [4, 5], "counts": [100, 5]}, "with a broken mask"),
        ({"size": [4, 5], "counts": [-3, 23]}, "with a broken mask"),
        ({"size": [4, 5], "counts": "zzzzzz"}, "with a broken mask"),
        ({"size": [4, 5], "counts": "é"}, "with a broken mask"),
        ({"size": [4, 5], "counts": 20}, "with a broken mask"),
    ],
)
def test_a_broken_mask_is_named(segmentation: Any, reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        checked_mask(segmentation, 4, 5)


def test_of_several_polygons_those_that_enclose_nothing_go() -> None:
    assert checked_mask([[1, 2, 3, 4], [1, 1, 3, 1, 3, 3]], 4, 5) == [[1, 1, 3, 1, 3, 3]]


# ---- the JSON ----


def test_what_a_set_says(tmp_path: Path) -> None:
    coco = document(4)
    coco["annotations"].reverse()  # any order in the file
    found = read(tmp_path, coco)
    assert len(found) == 4
    assert found.categories == {7: "red", 90: "blue"}
    assert [found.labels[number] for number in found.of_image(0)] == [2, 1]
    assert list(found.of_image(3)) == []
    assert found.left_out == {}
    ours = found.to_json(range(4))
    key = lambda row: (row["image_id"], row["category_id"])  # noqa: E731
    strip = lambda row: {name: value for name, value in row.items() if name != "id"}  # noqa: E731
    assert [strip(row) for row in sorted(ours["annotations"], key=key)] == [
        strip(row) for row in sorted(coco["annotations"], key=key)
    ]
    assert sorted(row["id"] for row in ours["annotations"]) == list(range(1, 7))
    assert ours["images"] == coco["images"]


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    coco = document(2)
    odd = [
        annotation(50, 100, (10, 10, 0, 5)),
        annotation(51, 100, (WIDTH + 1, 5, 10, 10)),
        annotation(52, 999, (1, 1, 5, 5)),
        annotation(53, 100, (1, 1, 5, 5), segmentation=[]),
        annotation(54, 100, (1, 1, 5, 5), segmentation={"size": [5, 5], "counts": [25]}),
        annotation(55, 100, (1, 1, 5, 5), segmentation=[[1, 2]]),
        annotation(56, 100, (70, 50, 30, 30), segmentation=factory.segmentation("rle", 70, 50, 10, 14)),
    ]
    coco["annotations"] += copy.deepcopy(odd)
    found = read(tmp_path, coco)
    assert found.left_out == {
        "without area inside their image": 2,
        "of images that are not listed": 1,
        "without a mask": 1,
        "with a mask of another size than the image": 1,
        "with a broken mask": 1,
        "cut at the edge of their image": 1,
    }
    assert found.boxes[-1].tolist() == [70, 50, 10, 14]
    assert len(found.boxes) == 3


def test_an_area_is_that_of_the_box_where_the_file_has_none(tmp_path: Path) -> None:
    coco = document(2)
    del coco["annotations"][0]["area"]
    _, _, w, h = coco["annotations"][0]["bbox"]
    assert read(tmp_path, coco).areas[0] == w * h


def changed(path: str, value: Any) -> dict[str, Any]:
    """A document with one entry set, or taken away where `value` is None."""
    coco = document(2)
    table, number, key = path.split(".")
    if value is None:
        del coco[table][int(number)][key]
    else:
        coco[table][int(number)][key] = value
    return coco


@pytest.mark.parametrize(
    ("coco", "message"),
    [
        ([], "is not COCO's instances format: it needs the lists images, annotations, categories"),
        ({"images": [], "annotations": []}, "is not COCO's instances format"),
        ({**document(2), "images": []}, "no images"),
        ({**document(2), "categories": []}, "no categories"),
        ({**document(2), "annotations": []}, "has no annotation that can be used"),
        ({**document(2), "images": [3]}, "id of entry 0 in images is missing"),
        (changed("images.1.width", None), "width of entry 1 in images is missing"),
        (changed("images.1.id", "5"), "id of entry 1 in images is '5', not a whole number"),
        (changed("images.1.id", 100), "the id 100 stands twice in images"),
        (changed("images.0.height", 0), "an image without height or width"),
        (changed("categories.1.id", 7), "the id 7 stands twice in categories"),
        (changed("categories.1.name", None), "name of entry 1 in categories is missing"),
        (changed("annotations.0.category_id", 8), "category 8 of an annotation is not in categories"),
        (changed("annotations.0.bbox", [1, 2, 3]), "a bbox must be four numbers x, y, width, height"),
        (changed("annotations.0.bbox", [1, 2, "3", 4]), "a bbox must be four numbers"),
    ],
)
def test_what_makes_no_sense_is_one_line(coco: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(coco))
    with pytest.raises(CocoError) as told:
        read_coco(str(tmp_path / "train.json"), key="data.train")
    assert message in str(told.value)
    assert str(tmp_path / "train.json") in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="can't read .*none.json: No such file"):
        read_coco(str(tmp_path / "none.json"), key="data.train")
    with pytest.raises(CocoError, match="data.train is empty: give a COCO JSON"):
        read_coco("", key="data.train")
    for text in ("{", "[" * 100_000, '{"a": "\ud800"}'.encode("utf-8", "surrogatepass").decode("latin1")):
        (tmp_path / "bad.json").write_text(text, encoding="latin1")
        with pytest.raises(CocoError, match="bad.json is not"):
            read_coco(str(tmp_path / "bad.json"), key="data.train")


def test_categories_must_be_the_same_in_both(tmp_path: Path) -> None:
    train, other = read(tmp_path / "a", document(2)), document(2)
    other["categories"] = [{"id": 7, "name": "red"}, {"id": 90, "name": "green"}]
    with pytest.raises(CocoError, match=r"different categories \(2 and 2\): 90 blue is in .*a/train.json only"):
        check_same_categories(train, read(tmp_path / "b", other))
    check_same_categories(train, read(tmp_path / "c", document(3)))


# ---- images ----


@pytest.mark.parametrize("tar", [False, True])
def test_images_are_found_by_name(tar: bool, tmp_path: Path) -> None:
    coco = document(3)
    path = factory.write(tmp_path, coco, "train.json", tar=tar)
    source = CocoImages(
        str(tmp_path / ("images.tar" if tar else "images")), read_coco(str(path), key="data.train"), key="data.images"
    )
    for images in (source, pickle.loads(pickle.dumps(source))):
        assert len(images) == 3
        assert images.key(1) == "1.a.png"
        image = images.image(0)
        assert (image.shape, image.dtype) == ((3, HEIGHT, WIDTH), torch.uint8)
        x, y, _, _ = coco["annotations"][1]["bbox"]
        assert image[:, y + 1, x + 1].tolist() == [30, 30, 200]


@pytest.mark.parametrize("tar", [False, True])
def test_missing_images_are_named(tar: bool, tmp_path: Path) -> None:
    coco = document(6)
    path = factory.write(tmp_path, {**coco, "images": coco["images"][:1]}, "some.json", tar=tar)
    path.write_text(json.dumps(coco))
    with pytest.raises(
        CocoError, match=r"5 of the 6 images of .* are not in data.images=.*: 1.a.png, 2.a.png, 3.a.png, "
    ):
        CocoImages(
            str(tmp_path / ("images.tar" if tar else "images")),
            read_coco(str(path), key="data.train"),
            key="data.images",
        )


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(next(iter(factory.pictures(document(1)).values())))
    coco = changed("images.0.file_name", "../secret.png")
    with pytest.raises(CocoError, match="secret.png"):
        CocoImages(str(tmp_path / "images"), read(tmp_path, coco), key="data.images")


def test_neither_folder_nor_tar(tmp_path: Path) -> None:
    found = read(tmp_path, document(2))
    with pytest.raises(CocoError, match="neither a folder nor a .tar"):
        CocoImages(str(tmp_path / "none"), found, key="data.images")
    with pytest.raises(CocoError, match="data.images is empty"):
        CocoImages("", found, key="data.images")


def test_an_image_of_another_size_than_the_json_says_is_bad(tmp_path: Path) -> None:
    found = read(tmp_path, document(2))
    coco = document(2)
    coco["images"][0]["width"] = WIDTH // 2
    coco["annotations"] = [annotation(1, 101, (1, 1, 9, 9))]
    (tmp_path / "train.json").write_text(json.dumps(coco))
    images = CocoImages(str(tmp_path / "images"), read_coco(str(tmp_path / "train.json"), key="k"), key="data.images")
    with pytest.raises(BadImage, match="is 80x64, the JSON says 40x64"):
        images.image(0)
    assert images.image(1).shape == (3, HEIGHT, WIDTH)
    assert found.fingerprint()["count"] == 2


def test_rectangles_of_the_factory_are_what_they_say() -> None:
    mask = rectangle(3, 4, 5, 6)
    assert mask.sum() == 30
    assert mask[4, 3] == mask[9, 7] == 1


# ---- real files ----


@pytest.mark.real
@pytest.mark.parametrize("name", ["coco-mini/instances80_val", "coco-mini/street4_train", "nuclei/instances_val"])
def test_real_masks_are_those_of_pycocotools(name: str, real_data: Path) -> None:
    path = real_data / f"{name}.json"
    found, raw = read_coco(str(path), key="data.val"), json.loads(path.read_text())
    assert found.left_out == {}
    place = {int(number): index for index, number in enumerate(found.image_ids)}
    for row in raw["annotations"][::17]:
        index = place[row["image_id"]]
        height, width = found.sizes[index].tolist()
        rles = reference.frPyObjects(row["segmentation"], height, width)
        expected = reference.decode(rles if isinstance(rles, dict) else reference.merge(rles))
        ours = to_masks([json.loads(found.masks[number]) for number in found.of_image(index)], height, width)
        assert any(np.array_equal(mask, expected) for mask in ours.numpy())
