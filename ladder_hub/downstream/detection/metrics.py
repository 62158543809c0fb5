"""Average precision of boxes and masks as COCO defines it, by faster-coco-eval, with bootstrap intervals over images.

AP is the mean over the IoU thresholds 0.5, 0.55, ..., 0.95 and over the categories (Lin et al. 2014); AP50 and AP75
have one threshold; small, medium and large are objects below 32^2, below 96^2 and above, in pixels of the mask.
"""

import contextlib
import copy
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from ladder_hub.downstream.detection.coco import CocoSet
from ladder_hub.downstream.metrics import Interval, bootstrap_share

Kind = Literal["box", "mask"]
Result = dict[str, Any]
"""An entry of COCO's results format."""

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
_IOU_TYPE = {"box": "bbox", "mask": "segm"}
_WITH_INTERVAL = 3
_DRAWS = 300


@dataclass(frozen=True)
class Precision:
    """Average precision of one kind of region on n images."""

    kind: Kind
    values: dict[str, float]
    """{ap, ap50, ...: 0..1}; a size of which there is no object is not among them."""
    intervals: dict[str, Interval]
    """95 %, of ap, ap50 and ap75: percentiles over sets of images drawn with replacement."""
    n: int


def average_precision(
    truth: CocoSet, results: Sequence[Result], kind: Kind, *, indices: Sequence[int], detections: int = 100
) -> Precision:
    """AP of predictions.

    Args:
        truth: The annotations. Crowds count neither for nor against a prediction in them.
        results: COCO's results: image_id, category_id, bbox, segmentation, score.
        kind: Which regions are compared.
        indices: The images of `truth` that were looked at.
        detections: At most so many an image and category count, those with the highest scores.
    """
    found = _evaluated(truth, results, kind, indices, detections, sizes=True)
    with contextlib.redirect_stdout(io.StringIO()):
        found.accumulate()
        found.summarize()
    stats = [float(value) for value in found.stats[: len(NAMES)]]
    # -1 where there is nothing of this size.
    values = {name: value for name, value in zip(NAMES, stats, strict=True) if value >= 0}
    resampled = _Resampled(_evaluated(truth, results, kind, indices, detections, sizes=False))
    names = [name for name in NAMES[:_WITH_INTERVAL] if name in values]
    intervals = {
        name: bootstrap_share(len(indices), partial(resampled.value, at), draws=_DRAWS) for at, name in enumerate(names)
    }
    return Precision(kind, values, intervals, len(indices))


def _evaluated(
    truth: CocoSet, results: Sequence[Result], kind: Kind, indices: Sequence[int], detections: int, *, sizes: bool
) -> Any:
    """The library's evaluation, every image matched."""
    from faster_coco_eval import COCO, COCOeval_faster

    # The library adds to the results it is given; and of an empty list it can't tell what kind they would be.
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(truth.to_json(indices))
        guessed = known.loadRes(copy.deepcopy(list(results))) if results else COCO(_nothing(known.dataset))
        found = COCOeval_faster(known, guessed, _IOU_TYPE[kind], print_function=_quiet, separate_eval=True)
        found.params.maxDets = [1, min(10, detections), detections] if sizes else [detections]
        if not sizes:
            found.params.areaRng, found.params.areaRngLbl = found.params.areaRng[:1], found.params.areaRngLbl[:1]
        found.evaluate()
    return found


def _nothing(dataset: dict[str, Any]) -> dict[str, Any]:
    return {**dataset, "annotations": []}


def _quiet(*_: object) -> None:
    """Says nothing."""


class _Resampled:
    """AP, AP50 and AP75 where every image counts as often as it was drawn."""

    def __init__(self, found: Any) -> None:
        self._params = found._paramsEval
        self._images = len(self._params.imgIds)
        self._matches = found._evalImgs_cpp  # of category 1 every image, then of category 2, ...
        self._known: dict[bytes, np.ndarray] = {}

    def value(self, which: int, counts: np.ndarray) -> float:
        """The first, second or third of them, for int64 (n,) with the sum n."""
        key = counts.tobytes()
        if key not in self._known:  # equal seeds give equal draws: the three figures share them
            self._known[key] = self._values(np.repeat(np.arange(self._images), counts))
        return float(self._known[key][which])

    def _values(self, drawn: np.ndarray) -> np.ndarray:
        from faster_coco_eval.faster_eval_api_cpp import COCOevalAccumulate

        categories = len(self._params.catIds)
        places = (np.arange(categories)[:, None] * self._images + drawn).ravel()
        evaluated = COCOevalAccumulate(self._params, [self._matches[place] for place in places])
        precision = np.array(evaluated["precision"]).reshape(
            evaluated["counts"]
        )  # thresholds, recalls, categories, ...
        return np.array([_mean(precision), _mean(precision[0]), _mean(precision[5])])


def _mean(precision: np.ndarray) -> float:
    """Over what has any object; -1 stands for none, and NaN is the mean of nothing."""
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan
