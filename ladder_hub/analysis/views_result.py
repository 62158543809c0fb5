"""What `analyse views` finds: distances of pairs of views, their medians, and a table of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.downstream.metrics import Interval, bootstrap

_DIGITS = 6


@dataclass(frozen=True)
class Pairs:
    """Distances of n pairs of views, at one stage of one model.

    Attributes:
        raw: float32 (n,), Euclidean, of the globally pooled maps: the paper's. It grows with their scale.
        unit: float32 (n,), Euclidean, of the same as unit vectors, sqrt(2 - 2 cos), in [0, 2].
    """

    raw: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class StageViews:
    """One stage of one model."""

    stage: str
    same: Pairs
    """View 1 and view 2 of each image."""
    other: Pairs
    """View 1 of each image and view 2 of the next: how far apart two views are that have nothing in common."""

    @property
    def ratio(self) -> float:
        """Median of `same.unit` / median of `other.unit`: near 0 invariant; 1: an image's views are like any two."""
        return _ratio(self.same.unit, self.other.unit)

    def interval(self) -> Interval:
        """The 95 % interval of `ratio`: a bootstrap over images."""
        same, other = self.same.unit, self.other.unit
        return bootstrap(len(same), lambda drawn: _ratio(np.repeat(same, drawn), np.repeat(other, drawn)))

    def to_dict(self) -> dict[str, Any]:
        """Medians, the ratio, and every distance."""
        pairs = {
            f"{whose}_{kind}": getattr(getattr(self, whose), kind)
            for kind in ("raw", "unit")
            for whose in ("same", "other")
        }
        medians = {name: _rounded(np.median(values)) for name, values in pairs.items()}
        distances = {name: [_rounded(value) for value in values] for name, values in pairs.items()}
        ratio = {"ratio": _rounded(self.ratio), "ratio_ci95": [_rounded(value) for value in self.interval()]}
        return {"stage": self.stage, "medians": medians, **ratio, "distances": distances}


@dataclass(frozen=True)
class ModelViews:
    """One model."""

    model: str
    weights: str
    """Digest of its tensors."""
    stages: tuple[StageViews, ...]


@dataclass(frozen=True)
class ViewsAnalysis:
    """What `analyse views` finds."""

    models: tuple[ModelViews, ...]
    n: int
    """Images."""
    images: dict[str, Any]
    """Their fingerprint."""
    views: dict[str, Any]
    """How the views were made, the same for all models: recipe, image_size, seed, and the recipe's `[views]`."""

    @property
    def models_named(self) -> list[str]:
        """The models as they were typed."""
        return [one.model for one in self.models]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        models = [
            {"model": one.model, "weights": one.weights, "stages": [stage.to_dict() for stage in one.stages]}
            for one in self.models
        ]
        return {"analysis": "views", "n": self.n, "images": self.images, "views": self.views, "models": models}

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows: medians of each stage and model."""
        header = [
            "stage",
            "model",
            "n",
            "distance",
            "as unit vectors",
            "of other images",
            "same/other",
            "95 % interval",
        ]
        rows = [self._row(model, model.stages[number]) for number in range(len(STAGE_NAMES)) for model in self.models]
        return header, rows

    def _row(self, model: ModelViews, found: StageViews) -> tuple[str, ...]:
        medians = (np.median(values) for values in (found.same.raw, found.same.unit, found.other.unit))
        interval = "{:.3f} to {:.3f}".format(*found.interval())
        return found.stage, model.model, str(self.n), *(f"{m:.3g}" for m in medians), f"{found.ratio:.3f}", interval


def _ratio(same: np.ndarray, other: np.ndarray) -> float:
    """Not a number where even other images fall on one point: the stage has collapsed."""
    middle = float(np.median(other))
    return float(np.median(same)) / middle if middle else float("nan")


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
