"""Linear classifiers on frozen features, many at once: every stage, every learning rate, one pass over the features.

Where several learning rates compete, each has two classifiers that start alike: one learns without the held-back
images and is compared on them, the other learns from all and is what the winner reports.
Shapes: B images, H classifiers, K classes, D features.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import pyramid
from ladder_hub.data.photometric import normalise
from ladder_hub.downstream.features import Pool, pooled

_INIT = 0.01  # standard deviation of the weights: mmselfsup


class Classifiers(nn.Module):
    """H linear classifiers of the same features; equal weights at the start, zero biases."""

    def __init__(self, features: int, classes: int, count: int) -> None:
        super().__init__()
        start = _INIT * torch.randn(classes, features)
        self.weights = nn.ParameterList(start.clone() for _ in range(count))
        self.biases = nn.ParameterList(torch.zeros(classes) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to logits (B, H, K), by one product."""
        logits = F.linear(x, torch.cat(list(self.weights)), torch.cat(list(self.biases)))
        return logits.view(len(x), len(self.weights), -1)


class Probe(nn.Module):
    """The classifiers of some stages.

    Args:
        shapes: {stage: shape of an image's features}, (C,) or (C, g, g); maps are normalised a channel, without
            weights, and flattened.
        classes: Number of classes.
        rates: How many learning rates compete.
        held_share: Share of the training images that are held back.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], *, classes: int, rates: int, held_share: float) -> None:
        super().__init__()
        self.rates = rates
        self._held_share = held_share
        count = rates if rates == 1 else 2 * rates
        self.norms = nn.ModuleDict(
            {
                stage: nn.BatchNorm2d(shape[0], affine=False) if len(shape) > 1 else nn.Identity()
                for stage, shape in shapes.items()
            }
        )
        self.classifiers = nn.ModuleDict(
            {stage: Classifiers(math.prod(shape), classes, count) for stage, shape in shapes.items()}
        )

    def logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{stage: (B, C) or (B, C, g, g)} to {stage: (B, H, K)}: those that are compared, then those that report."""
        return {stage: self.classifiers[stage](self.norms[stage](x).flatten(1)) for stage, x in features.items()}

    def forward(self, features: Mapping[str, Tensor], labels: Tensor, held: Tensor) -> dict[str, Tensor]:
        """The sum over the classifiers of their mean cross-entropies.

        Args:
            features: {stage: (B, C) or (B, C, g, g)}.
            labels: int64 (B,).
            held: bool (B,): held back from the classifiers that are compared.

        Returns:
            {stage: loss}. The means over unheld images are those over many batches: of a batch alone the number of
            unheld images is a matter of chance, and would differ between processes.
        """
        with torch.autocast(labels.device.type, enabled=False):
            return {
                stage: self._loss(logits, labels, held)
                for stage, logits in self.logits({stage: x.float() for stage, x in features.items()}).items()
            }

    def _loss(self, logits: Tensor, labels: Tensor, held: Tensor) -> Tensor:
        count = logits.shape[1]
        losses = F.cross_entropy(logits.flatten(0, 1), labels.repeat_interleave(count), reduction="none")
        losses = losses.view(len(labels), count)
        compared = count - self.rates
        unheld = (~held).float()[:, None] / (1 - self._held_share)
        return (losses[:, :compared] * unheld).sum() / len(labels) + losses[:, compared:].sum() / len(labels)


class FrozenProbe(nn.Module):
    """A frozen backbone, always in eval mode, and classifiers on its maps.

    Args:
        backbone: Whose parameters stay as they are.
        probe: For some of its stages.
        pool: How maps become features.
        mean: Of the input's channels.
        std: Of the input's channels.
    """

    def __init__(
        self, backbone: nn.Module, probe: Probe, *, pool: Pool, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.probe = probe
        self._pool: Pool = pool
        self._mean, self._std = tuple(mean), tuple(std)

    def train(self, mode: bool = True) -> "FrozenProbe":
        """The probe alone follows: BatchNorm of the backbone keeps its running statistics."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, held: Tensor) -> dict[str, Tensor]:
        """As `Probe.forward`, of uint8 images (B, 3, S, S)."""
        with torch.no_grad():
            x = normalise(images, mean=self._mean, std=self._std).contiguous(memory_format=torch.channels_last)
            maps = pyramid(self.backbone, x, tuple(self.probe.classifiers))
            features = {stage: pooled(feature_map, stage, self._pool) for stage, feature_map in maps.items()}
        return self.probe(features, labels, held)
