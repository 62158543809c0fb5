"""The rungs of the ladder: which stage carries which loss, with which weight (Eq. 4 and 6, Sec. 4.1).

A method is nothing but a list of levels. BYOL is a ladder with one rung.
Ladder Siamese Network, arXiv 2211.13844. `resK` is the map of stride 2^K of any backbone.
"""

from dataclasses import dataclass
from typing import Literal

Stage = Literal["res2", "res3", "res4", "res5"]
Loss = Literal["global", "dense"]


@dataclass(frozen=True)
class Level:
    """One rung: `weight` (> 0, the paper's w_i) times a `global` or `dense` loss on `stage`.

    A dense level averages the dense and the global loss of its stage, each with its own heads (Sec. 3.3).
    """

    stage: Stage
    loss: Loss
    weight: float = 1.0

    @property
    def name(self) -> str:
        """The level's name in logs, cards and plots: `res4.global`."""
        return f"{self.stage}.{self.loss}"

    @property
    def heads(self) -> tuple[Loss, ...]:
        """The kinds of head pair that the level owns; its loss is their mean."""
        return ("global", "dense") if self.loss == "dense" else ("global",)


def halving_weights(stages: int, w: float = 0.5) -> list[float]:
    """Weights of the lower stages by the halving heuristic, w_i = 2^(i-N) w for i < N (Eq. 6).

    `stages` counts the rungs below the last one: `halving_weights(3)` is [1/16, 1/8, 1/4]. The last rung has
    weight 1.
    """
    return [w * 2.0 ** (i - stages) for i in range(stages)]


_W2, _W3, _W4 = halving_weights(3)

LEVELS: dict[str, tuple[Level, ...]] = {
    "byol": (Level("res5", "global"),),
    "dense_byol": (Level("res5", "dense"),),
    "ladder_byol": (
        Level("res2", "global", _W2),
        Level("res3", "global", _W3),
        Level("res4", "global", _W4),
        Level("res5", "global"),
    ),
    "ladder_dense": (
        Level("res2", "dense", _W2),
        Level("res3", "dense", _W3),
        Level("res4", "global", _W4),
        Level("res5", "global"),
    ),
}
