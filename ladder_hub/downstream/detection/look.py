"""Annotations looked at before anything is learned from them: how many, of what, and whether a figure would be one."""

import numpy as np

from ladder_hub.documents import plain
from ladder_hub.downstream.detection.coco import CocoError, CocoSet, told

_NAMED = 3
_SMALLEST = 1


def told_boxes(coco: CocoSet) -> str:
    """In one line: images, boxes, crowds, and the categories that have none."""
    boxes, images = counted_boxes(coco), coco.first[1:] - coco.first[:-1]
    parts = [
        f"{len(coco)} images ({int((images == 0).sum())} without a box)",
        f"{int(boxes.sum())} boxes of {len(boxes)} categories",
        f"{int(coco.crowd.sum())} crowds",
    ]
    if tiny := int((coco.boxes[:, 2:] < _SMALLEST).any(1).sum()):
        parts.append(f"{tiny} boxes below a pixel")
    if empty := [name for name, count in zip(coco.categories.values(), boxes, strict=True) if not count]:
        parts.append(f"no box of {len(empty)} categories ({_some(empty)})")
    return ", ".join(parts) + (f"; left out or cut{told(coco.left_out)}" if coco.left_out else "")


def box_faults(train: CocoSet, val: CocoSet) -> list[str]:
    """Why a figure of these annotations would not be what it says; a line each, nothing where all is well."""
    faults = [
        f"{coco.path}: all of its boxes are crowds, which are neither learned nor judged: there is nothing to find"
        for coco in (train, val)
        if not counted_boxes(coco).any()
    ]
    if faults:
        return faults
    known = (counted_boxes(val) > 0) & (counted_boxes(train) > 0)
    return [] if known.any() else [f"{val.path} and {train.path} have no category with a box in both"]


def check_boxes(train: CocoSet, val: CocoSet) -> None:
    """Refuse sets of which no honest figure can be made.

    Raises:
        CocoError: the first of `box_faults`.
    """
    for fault in box_faults(train, val):
        raise CocoError(fault)


def never_learned(train: CocoSet, val: CocoSet) -> list[str]:
    """Categories with a box in val and none in train: their AP can be nothing but 0."""
    there = (counted_boxes(val) > 0) & (counted_boxes(train) == 0)
    return [name for name, absent in zip(val.categories.values(), there, strict=True) if absent]


def told_never_learned(train: CocoSet, val: CocoSet) -> str:
    """A line about `never_learned`; empty where there are none."""
    names = never_learned(train, val)
    return f"{len(names)} categories of data.val have no box in data.train ({_some(names)})" if names else ""


def counted_boxes(coco: CocoSet) -> np.ndarray:
    """Boxes of each category that are no crowds: int64 (K,)."""
    return np.bincount(coco.labels[~coco.crowd], minlength=1 + len(coco.categories))[1:]


def _some(names: list[str]) -> str:
    return ", ".join(plain(name) for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
