"""What `analyse stages` finds: figures a stage and model, and the paper's Table 7 beside them."""

from dataclasses import dataclass
from typing import Any

from ladder_hub import paper
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.downstream.metrics import Interval

PAPER = f"the paper's Table 7 ({paper.SOURCE}): linear, ImageNet, ResNet-50"


@dataclass(frozen=True)
class Figure:
    """A top-1 accuracy, 0..1."""

    value: float
    ci95: Interval
    n: int
    """Validation images."""


@dataclass(frozen=True)
class ModelStages:
    """One model."""

    model: str
    weights: str
    """Digest of its tensors."""
    protocol: str
    data: dict[str, Any]
    """Fingerprints of train and val."""
    figures: dict[str, Figure]
    """Of res2..res5."""


@dataclass(frozen=True)
class StagesAnalysis:
    """What `analyse stages` finds."""

    models: tuple[ModelStages, ...]

    @property
    def protocol(self) -> str:
        """Of all models."""
        return self.models[0].protocol

    @property
    def chance(self) -> float | None:
        """Accuracy of a guess, 0..1; None where the number of classes is not known."""
        classes = self.models[0].data["val"].get("classes") or self.models[0].data["train"].get("classes")
        return 1 / classes if classes else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the paper's figures are percent, as it prints them."""
        models = [
            {
                "model": one.model,
                "weights": one.weights,
                "data": one.data,
                "top1": {
                    stage: {"value": figure.value, "ci95": list(figure.ci95), "n": figure.n}
                    for stage, figure in one.figures.items()
                },
            }
            for one in self.models
        ]
        printed = {row.method: row.figures for row in paper.rows(7)}
        facts = {"analysis": "stages", "protocol": self.protocol, "chance": self.chance, "models": models}
        return {**facts, "paper": {"source": PAPER, "percent": printed}}

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows: top-1 with its interval; the paper's rows last, and labelled as the paper's."""
        rows = [
            (one.model, self.protocol, str(one.figures["res5"].n), *(_shown(one.figures[s]) for s in STAGE_NAMES))
            for one in self.models
        ]
        printed = [
            (f"paper: {row.method}", "Table 7, ImageNet", "", *(f"{row.figures[s]:.1f}%" for s in STAGE_NAMES))
            for row in paper.rows(7)
        ]
        return ["model", "protocol", "n", *(f"{stage} top-1" for stage in STAGE_NAMES)], rows + printed


def _shown(figure: Figure) -> str:
    low, high = figure.ci95
    return f"{figure.value:.1%} ({100 * low:.1f} to {100 * high:.1f})"
