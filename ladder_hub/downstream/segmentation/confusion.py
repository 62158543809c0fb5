"""How much of what was predicted is right: intersection over union, from counts of pixels."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ladder_hub.data.pairs_mask import IGNORED
from ladder_hub.downstream.metrics import Interval, bootstrap_share


def confusion(truth: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Pixels of every class (row) that were taken for every class (column).

    Args:
        truth: Integers of any shape; 255 is not counted.
        predicted: Integers 0..classes - 1 of the same shape.
        classes: K.

    Returns:
        int64 (K, K) on the CPU.
    """
    counted = truth != IGNORED
    cells = truth[counted].long() * classes + predicted[counted].long()
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes).cpu()


def areas(matrix: Tensor) -> Tensor:
    """Pixels of each class that are right, true and predicted: int64 (3, K) of a confusion matrix (K, K)."""
    return torch.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)])


def class_iou(counts: np.ndarray) -> np.ndarray:
    """Right / (true + predicted - right) of each class; NaN where it is neither true nor predicted anywhere.

    Args:
        counts: (3, K) as `areas` has them, summed over a set of images.

    Returns:
        float64 (K,).
    """
    right, true, predicted = counts.astype(np.float64)
    union = true + predicted - right
    return np.divide(right, union, out=np.full_like(union, np.nan), where=union > 0)


def mean_iou(counts: np.ndarray) -> float:
    """The mean over the classes that are true or predicted somewhere; NaN where no pixel is labelled."""
    known = class_iou(counts)
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else math.nan


def pixel_accuracy(counts: np.ndarray) -> float:
    """Share of the labelled pixels that are right; NaN where there are none."""
    labelled = counts[1].sum()
    return float(counts[0].sum() / labelled) if labelled else math.nan


@dataclass(frozen=True)
class Tally:
    """What was counted over a set of images.

    Attributes:
        matrix: int64 (K, K), over all of them.
        by_image: int64 (n, 3, K), `areas` of each.
    """

    matrix: Tensor
    by_image: Tensor

    def total(self) -> np.ndarray:
        """`areas` of the whole set, int64 (3, K)."""
        return areas(self.matrix).numpy()

    def intervals(self, *, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals of `miou` and `pixel_accuracy`, over sets of images drawn with replacement."""
        n = len(self.by_image)
        # Below 2^53 pixels these are exact, and float64 is what BLAS multiplies.
        table = self.by_image.double().numpy().reshape(n, -1)
        figures = {"miou": mean_iou, "pixel_accuracy": pixel_accuracy}
        return {
            name: bootstrap_share(n, lambda drawn, f=figure: f((drawn @ table).reshape(3, -1)), seed=seed)  # type: ignore[misc]
            for name, figure in figures.items()
        }
