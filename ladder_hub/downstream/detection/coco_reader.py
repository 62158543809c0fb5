"""Reads COCO's instances format: what can't be used is left out and counted, what makes no sense is refused."""

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ladder_hub.data.names import Names
from ladder_hub.documents import check_regular, plain, shown
from ladder_hub.downstream.detection.coco import CUT, CocoError, CocoSet, told
from ladder_hub.downstream.detection.coco_masks import MaskError, checked_mask


def read_coco(spec: str, *, key: str) -> CocoSet:
    """Read a JSON of COCO's instances format.

    Left out, and counted: annotations of images that are not listed, boxes without area inside their image, masks
    that are missing, broken or of another size than the image. A box that reaches over the edge is cut.

    Args:
        spec: The path of the file, `~` allowed.
        key: The setting that named it, for messages.

    Raises:
        CocoError: it is not there, not JSON or not COCO's format, or holds no usable annotation.
    """
    if not spec:
        raise CocoError(f"{key} is empty: give a COCO JSON, and data.images=FOLDER or .tar for its images")
    try:
        path = Path(spec).expanduser()
    except RuntimeError:
        raise CocoError(f"{key}={plain(spec)}: the home folder is not known; write the path out") from None
    document, digest = _document(path, key)
    reader = _Reader(path, document)
    return reader.read(digest)


def _document(path: Path, key: str) -> tuple[dict[str, Any], str]:
    check_regular(path, CocoError)
    try:
        data = path.read_bytes()
        document = json.loads(data)
    except OSError as error:
        raise CocoError(f"can't read {key}={path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CocoError(f"{key}={path} is not JSON: {reason}") from None
    tables = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in tables):
        raise CocoError(f"{key}={path} is not COCO's instances format: it needs the lists {', '.join(tables)}")
    return document, hashlib.sha256(data).hexdigest()


@dataclass
class _Columns:
    image: list[int] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path, self._document = path, document
        self._left_out: Counter[str] = Counter()

    def read(self, digest: str) -> CocoSet:
        categories = self._categories()
        images = self._table("images", {"id": int, "file_name": str, "height": int, "width": int})
        place = self._unique("images", [image["id"] for image in images])
        sizes = np.array([(image["height"], image["width"]) for image in images], dtype=np.int64).reshape(-1, 2)
        if not len(sizes) or (sizes < 1).any():
            raise CocoError(f"{self._path}: " + ("an image without height or width" if len(sizes) else "no images"))
        columns = self._columns(place, sizes, {number: 1 + n for n, number in enumerate(categories)})
        if not columns.image:
            raise CocoError(f"{self._path} has no annotation that can be used{told(self._left_out)}")
        order = np.argsort(columns.image, kind="stable")
        return CocoSet(
            path=self._path,
            digest=digest,
            categories=categories,
            image_ids=np.array(list(place), dtype=np.int64),
            file_names=Names.pack(image["file_name"] for image in images),
            sizes=sizes,
            first=np.searchsorted(np.array(columns.image)[order], np.arange(len(images) + 1)),
            boxes=np.array(columns.boxes, dtype=np.float64)[order],
            labels=np.array(columns.labels, dtype=np.int64)[order],
            crowd=np.array(columns.crowd, dtype=bool)[order],
            areas=np.array(columns.areas, dtype=np.float64)[order],
            masks=Names.pack(columns.masks[number] for number in order),
            left_out=dict(self._left_out),
        )

    def _categories(self) -> dict[int, str]:
        table = self._table("categories", {"id": int, "name": str})
        self._unique("categories", [row["id"] for row in table])
        if not table:
            raise CocoError(f"{self._path}: no categories")
        return {row["id"]: row["name"] for row in sorted(table, key=lambda row: row["id"])}

    def _columns(self, place: dict[int, int], sizes: np.ndarray, label: dict[int, int]) -> _Columns:
        columns = _Columns()
        for row in self._table("annotations", {"image_id": int, "category_id": int, "bbox": list}):
            if row["category_id"] not in label:
                raise CocoError(f"{self._path}: category {row['category_id']} of an annotation is not in categories")
            index = place.get(row["image_id"])
            if index is None:
                self._left_out["of images that are not listed"] += 1
                continue
            height, width = (int(side) for side in sizes[index])
            box = self._box(row["bbox"], height, width)
            mask = self._mask(row, height, width) if box else None
            if box and mask:
                columns.image.append(index)
                columns.boxes.append(box)
                columns.labels.append(label[row["category_id"]])
                columns.crowd.append(bool(row.get("iscrowd", 0)))
                columns.areas.append(_area(row, box))
                columns.masks.append(mask)
        return columns

    def _box(self, box: list[Any], height: int, width: int) -> tuple[float, float, float, float] | None:
        """The part inside the image; None where that has no area."""
        if len(box) != 4 or not all(_is_number(number) for number in box):
            raise CocoError(f"{self._path}: a bbox must be four numbers x, y, width, height, got {shown(box)}")
        x, y, w, h = (float(number) for number in box)
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
        if not (right > left and bottom > top):
            self._left_out["without area inside their image"] += 1
            return None
        if max(left - x, top - y, x + w - right, y + h - bottom) < 1:  # what rounding does is no news
            return (
                (x, y, w, h) if (left, top, right, bottom) == (x, y, x + w, y + h) else _box(left, top, right, bottom)
            )
        self._left_out[CUT] += 1
        return _box(left, top, right, bottom)

    def _mask(self, row: dict[str, Any], height: int, width: int) -> str | None:
        try:
            return json.dumps(checked_mask(row.get("segmentation"), height, width))
        except MaskError as error:
            self._left_out[str(error)] += 1
            return None

    def _table(self, name: str, columns: dict[str, type]) -> list[dict[str, Any]]:
        for number, row in enumerate(self._document[name]):
            for column, kind in columns.items():
                value = row.get(column) if isinstance(row, dict) else None
                if not isinstance(value, kind) or isinstance(value, bool):
                    what = "is missing" if value is None else f"is {shown(value)}, not {_KINDS[kind]}"
                    raise CocoError(f"{self._path}: {column} of entry {number} in {name} {what}")
        return self._document[name]

    def _unique(self, name: str, ids: list[int]) -> dict[int, int]:
        place = {number: index for index, number in enumerate(ids)}
        if len(place) < len(ids):
            twice = Counter(ids).most_common(1)[0][0]
            raise CocoError(f"{self._path}: the id {twice} stands twice in {name}")
        return place


_KINDS: dict[type, str] = {int: "a whole number", str: "a text", list: "a list"}


def _box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    return left, top, right - left, bottom - top


def _area(row: dict[str, Any], box: tuple[float, float, float, float]) -> float:
    area: Any = row.get("area")
    return float(area) if _is_number(area) else box[2] * box[3]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
