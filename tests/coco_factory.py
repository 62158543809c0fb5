"""Small COCO sets: coloured boxes on grey, with masks of every kind."""

import copy
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 7, "name": "red"}, {"id": 90, "name": "blue"}]
"""Ids with gaps."""
HEIGHT, WIDTH = 64, 80


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask, column by column, zeros first."""
    flat = mask.astype(np.int8).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=1 - flat[-1]))
    return np.diff(edges, prepend=0).tolist()


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def segmentation(kind: str, x: int, y: int, w: int, h: int) -> Any:
    """The same rectangle as a polygon or as run lengths."""
    if kind == "polygon":
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return {"size": [HEIGHT, WIDTH], "counts": runs(rectangle(x, y, w, h))}


def annotation(number: int, image: int, box: tuple[int, int, int, int], *, kind: str = "rle", **more: Any) -> dict:
    x, y, w, h = box
    return {
        "id": number,
        "image_id": image,
        "category_id": 7,
        "bbox": [x, y, w, h],
        "area": w * h,
        "iscrowd": 0,
        "segmentation": segmentation(kind, x, y, w, h),
        **more,
    }


def document(count: int = 6, *, seed: int = 0, empty: int = 1) -> dict[str, Any]:
    """`count` images; two objects in each but the last `empty`."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(count):
        images.append({"id": 100 + number, "file_name": f"{number}.a.png", "height": HEIGHT, "width": WIDTH})
        for category in (7, 90) if number < count - empty else ():
            w, h = (int(side) for side in rng.integers(16, 32, size=2))
            box = (int(rng.integers(0, WIDTH - w)), int(rng.integers(0, HEIGHT - h)), w, h)
            kind = ("rle", "polygon")[number % 2]
            annotations.append(annotation(1 + len(annotations), 100 + number, box, kind=kind, category_id=category))
    return {"images": images, "annotations": annotations, "categories": copy.deepcopy(CATEGORIES)}


def pictures(coco: dict[str, Any]) -> dict[str, bytes]:
    """PNG bytes by file name, with what the annotations say drawn in."""
    colours = {7: (200, 30, 30), 90: (30, 30, 200)}
    found = {}
    for image in coco["images"]:
        pixels = np.full((image["height"], image["width"], 3), 120, dtype=np.uint8)
        for row in coco["annotations"]:
            if row["image_id"] == image["id"]:
                x, y, w, h = (int(number) for number in row["bbox"])
                pixels[y : y + h, x : x + w] = colours[row["category_id"]]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found[image["file_name"]] = buffer.getvalue()
    return found


def write(folder: Path, coco: dict[str, Any], name: str, *, tar: bool = False) -> Path:
    """The JSON, and its images in `folder/images` or `folder/images.tar`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(coco))
    if tar:
        with tarfile.open(folder / "images.tar", "w") as archive:
            for file_name, data in pictures(coco).items():
                member = tarfile.TarInfo(file_name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        (folder / "images").mkdir(exist_ok=True)
        for file_name, data in pictures(coco).items():
            (folder / "images" / file_name).write_bytes(data)
    return folder / name


def write_split(folder: Path, train: int, val: int) -> list[Path]:
    """Two JSONs over one folder of images: train.json, val.json, images."""
    both = document(train + val, empty=0)
    write(folder, both, "all.json")
    parts = {"train": both["images"][:train], "val": both["images"][train:]}
    for name, images in parts.items():
        ids = {image["id"] for image in images}
        rows = [row for row in both["annotations"] if row["image_id"] in ids]
        (folder / f"{name}.json").write_text(json.dumps({**both, "images": images, "annotations": rows}))
    return [folder / "train.json", folder / "val.json", folder / "images"]
