"""A COCO JSON, checked, as flat arrays; `coco_reader.read_coco` reads one.

Boxes are (x, y, width, height) in pixels, as in the file. Categories may have any ids; their labels here are
1, 2, ... in the order of the ids, and 0 is the background.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ladder_hub.data.names import Names
from ladder_hub.documents import plain
from ladder_hub.errors import UserError

CUT = "cut at the edge of their image"
"""The one reason in `left_out` of annotations that are used all the same."""


class CocoError(UserError):
    """A file that is no COCO JSON, or contradicts itself or another."""


@dataclass(frozen=True)
class CocoSet:
    """N images with M annotations, sorted by image.

    Attributes:
        path: The file.
        digest: SHA-256 of the file.
        categories: {id: name}, by id.
        image_ids: int64 (N,), as in the file.
        file_names: N names.
        sizes: int64 (N, 2), height and width.
        first: int64 (N + 1,), where each image's annotations begin.
        boxes: float64 (M, 4), inside the image.
        labels: int64 (M,), 1..K.
        crowd: bool (M,), whether the region is a crowd.
        areas: float64 (M,), of the masks, as in the file.
        masks: M segmentations as JSON text: packed, since a million lists of numbers would fill memory.
        left_out: {reason: count} of annotations that are not here, and of boxes that were cut.
    """

    path: Path
    digest: str
    categories: dict[int, str]
    image_ids: np.ndarray
    file_names: Names
    sizes: np.ndarray
    first: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    masks: Names
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.image_ids)

    def of_image(self, index: int) -> range:
        """Which annotations are those of an image."""
        return range(int(self.first[index]), int(self.first[index + 1]))

    def fingerprint(self) -> dict[str, Any]:
        """What provenance records: source, name, count, classes, digest."""
        counts = {"count": len(self), "classes": len(self.categories)}
        return {"source": "coco", "name": self.path.name, **counts, "digest": self.digest}

    def to_json(self, indices: Sequence[int]) -> dict[str, Any]:
        """The images `indices` with their annotations as a COCO document, ids of annotations from 1 on."""
        ids = list(self.categories)
        images, annotations = [], []
        for index in indices:
            image, (height, width) = int(self.image_ids[index]), self.sizes[index].tolist()
            images.append({"id": image, "height": height, "width": width, "file_name": self.file_names[index]})
            annotations += [
                {
                    "id": 1 + number,
                    "image_id": image,
                    "category_id": ids[self.labels[number] - 1],
                    "bbox": self.boxes[number].tolist(),
                    "area": float(self.areas[number]),
                    "iscrowd": int(self.crowd[number]),
                    "segmentation": json.loads(self.masks[number]),
                }
                for number in self.of_image(index)
            ]
        categories = [{"id": number, "name": name} for number, name in self.categories.items()]
        return {"images": images, "annotations": annotations, "categories": categories}


def check_same_categories(train: CocoSet, val: CocoSet) -> None:
    """Refuse two files whose categories differ: a label would mean different things.

    Raises:
        CocoError: naming the first that differs.
    """
    if train.categories != val.categories:
        odd = min(set(train.categories.items()) ^ set(val.categories.items()))
        where = train.path if odd in train.categories.items() else val.path
        raise CocoError(
            f"train and val have different categories ({len(train.categories)} and {len(val.categories)}): "
            f"{odd[0]} {plain(odd[1])} is in {where} only"
        )


def told(left_out: dict[str, int]) -> str:
    """`: 3 without area inside their image, 1 cut ...`, nothing where all is well."""
    return (": " + ", ".join(f"{count} {reason}" for reason, count in left_out.items())) if left_out else ""
