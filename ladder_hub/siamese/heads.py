"""Projectors and predictors: BYOL's two-layer perceptron, on a vector (global) or on every cell of a map (dense).

Both are Linear - BatchNorm - ReLU - Linear, hidden width `hidden`, the last layer without bias and without norm
(DeepMind's release, utils/networks.py). On a map the linear layers are 1x1 convolutions.
Shapes: B images, C channels, H x W map, N = cells, D projection width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.siamese.levels import Loss


class GlobalProjector(nn.Sequential):
    """Average pool, then the perceptron: (B, C, H, W) -> (B, D)."""

    def __init__(self, channels: int, *, hidden: int, out: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *_perceptron(channels, hidden, out))


class DenseProjector(nn.Module):
    """The perceptron on every cell: (B, C, H, W) -> (B, N, D), N = H * W.

    A map of more than `grid` cells a side is average-pooled to `grid` first, each side by itself.
    """

    def __init__(self, channels: int, *, hidden: int, out: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, out, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project every cell of `features`; cells are in row-major order."""
        height, width = features.shape[-2:]
        pooled = F.adaptive_avg_pool2d(features, (min(height, self.grid), min(width, self.grid)))
        return self.layers(pooled).flatten(2).transpose(1, 2)


class Predictor(nn.Module):
    """The perceptron on the last axis: (B, D) -> (B, D) or (B, N, D) -> (B, N, D); statistics over B and N."""

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_perceptron(width, hidden, width))

    def forward(self, projection: Tensor) -> Tensor:
        """Predict the other view's projection."""
        return self.layers(projection.flatten(0, -2)).unflatten(0, projection.shape[:-1])


def build_projector(kind: Loss, channels: int, *, hidden: int, out: int, grid: int) -> nn.Module:
    """The projector of a `global` or a `dense` loss on a map of `channels`."""
    if kind == "global":
        return GlobalProjector(channels, hidden=hidden, out=out)
    return DenseProjector(channels, hidden=hidden, out=out, grid=grid)


def _perceptron(channels: int, hidden: int, out: int) -> list[nn.Module]:
    return [nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out, bias=False)]
