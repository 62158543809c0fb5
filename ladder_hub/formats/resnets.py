"""The ResNets that other tools know too: timm's name, and what their configs call it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ResNetFacts:
    """What tells one ResNet of the family from another."""

    depth: int
    groups: int = 1
    width: int = 64
    """Channels a group in the first stage."""

    @property
    def basic(self) -> bool:
        """Whether its blocks are two 3x3 convolutions, not a bottleneck."""
        return self.depth < 50


RESNETS = {
    "resnet18": ResNetFacts(18),
    "resnet34": ResNetFacts(34),
    "resnet50": ResNetFacts(50),
    "resnet101": ResNetFacts(101),
    "resnet152": ResNetFacts(152),
    "resnext50_32x4d": ResNetFacts(50, 32, 4),
    "resnext101_32x8d": ResNetFacts(101, 32, 8),
    "resnext101_64x4d": ResNetFacts(101, 64, 4),
    "wide_resnet50_2": ResNetFacts(50, 1, 128),
    "wide_resnet101_2": ResNetFacts(101, 1, 128),
}
"""timm names them, and their tensors (conv1, bn1, layer1.0.conv1, ...), as torchvision does."""
