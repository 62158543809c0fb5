"""Segmentations of COCO JSONs: polygons, and run lengths both plain and packed; rasterised by faster-coco-eval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ladder_hub.errors import UserError

Rle = dict[str, Any]
"""`{"size": [height, width], "counts": ...}`: run lengths in column-major order, zeros first."""

_CORNERS = 3


class MaskError(Exception):
    """A segmentation that can't be used; the message says what kind, for counting."""


def library() -> Any:
    """`faster_coco_eval.core.mask`.

    Raises:
        UserError: it is not installed.
    """
    try:
        from faster_coco_eval.core import mask
    except ImportError:
        raise UserError("detection needs faster-coco-eval: pip install 'ladder-hub[detect]'") from None
    return mask


def checked_mask(segmentation: Any, height: int, width: int) -> list[list[float]] | Rle:
    """The segmentation where it describes a mask of an image of this size; polygons that enclose nothing go.

    Raises:
        MaskError: it is missing, broken, or of another size.
    """
    if not segmentation:
        raise MaskError("without a mask")
    if isinstance(segmentation, list):
        polygons = [part for part in segmentation if _is_polygon(part)]
        if not polygons:
            raise MaskError("with a broken mask")
        return polygons
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise MaskError("with a broken mask")
    if segmentation.get("size") != [height, width]:
        raise MaskError("with a mask of another size than the image")
    try:
        library().decode(_packed(segmentation, height, width))
    except (ValueError, RuntimeError, TypeError, OverflowError):
        raise MaskError("with a broken mask") from None
    return {"size": [height, width], "counts": segmentation["counts"]}


def to_rle(segmentation: list[list[float]] | Rle, height: int, width: int) -> Rle:
    """A checked segmentation as packed run lengths, whose counts are bytes."""
    if isinstance(segmentation, dict):
        return _packed(segmentation, height, width)
    mask = library()
    return mask.merge(mask.frPyObjects(segmentation, height, width))


def to_masks(segmentations: Sequence[list[list[float]] | Rle], height: int, width: int) -> Tensor:
    """Checked segmentations as uint8 (N, height, width), 0 or 1."""
    if not segmentations:
        return torch.zeros(0, height, width, dtype=torch.uint8)
    decoded = library().decode([to_rle(segmentation, height, width) for segmentation in segmentations])
    return torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1)))


def encoded(masks: Tensor) -> list[Rle]:
    """Bool (N, height, width) as packed run lengths whose counts are text, as result files hold them."""
    if not len(masks):
        return []
    columns = np.asfortranarray(masks.to(torch.uint8).permute(1, 2, 0).numpy())
    return [
        {"size": list(masks.shape[1:]), "counts": rle["counts"].decode("ascii")} for rle in library().encode(columns)
    ]


def _packed(rle: Rle, height: int, width: int) -> Rle:
    counts = rle["counts"]
    if isinstance(counts, list):
        if not all(isinstance(run, int) and run >= 0 for run in counts):
            raise ValueError("run lengths below zero")
        return library().frPyObjects([{"size": [height, width], "counts": counts}], height, width)[0]
    if not isinstance(counts, str):
        raise TypeError("run lengths are a list or a text")
    return {"size": [height, width], "counts": counts.encode("ascii", "replace")}


def _is_polygon(part: Any) -> bool:
    if not isinstance(part, list) or len(part) < 2 * _CORNERS or len(part) % 2:
        return False
    return all(isinstance(number, int | float) and math.isfinite(number) for number in part)
