"""FCN on any network of ours: the plainest segmentation network there is, so that the backbone shows.

FCN-D8 as mmsegmentation has it (fcn_r50-d8), but on the network whose weights are there. Its own configurations take a
ResNet with a deep stem (ResNetV1c); weights with the plain 7x7 stem would leave that stem random without a word.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import BackboneError, deepest, deepest_maps, outside_deepest
from ladder_hub.data.pairs_mask import IGNORED

AUXILIARY_WEIGHT = 0.4


class FcnHead(nn.Module):
    """Convolutions (3x3, BatchNorm, ReLU), what went in beside what came out, one more convolution, a classifier.

    Args:
        in_channels: Of the map.
        channels: Of every convolution.
        num_classes: Of the classifier, a 1x1 convolution.
        convolutions: Before the map itself is put beside; with 1, as in the auxiliary head, it is not.
        dropout: Share of whole channels that are dropped before the classifier.
    """

    def __init__(
        self, in_channels: int, channels: int, num_classes: int, *, convolutions: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        widths = [in_channels] + [channels] * convolutions
        self.convs = nn.Sequential(*map(_convolution, widths[:-1], widths[1:]))
        self.concat = _convolution(in_channels + channels, channels) if convolutions > 1 else None
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) to logits (B, num_classes, h, w)."""
        out = self.convs(features)
        if self.concat is not None:
            out = self.concat(torch.cat([features, out], 1))
        return self.classifier(self.dropout(out))


class Fcn(nn.Module):
    """A backbone with a decode head on its last map and an auxiliary head on the one before; see `fcn`.

    Attributes:
        num_classes: Classes.
        align_corners: How logits are resized.
    """

    def __init__(
        self, model: nn.Module, num_classes: int, *, channels: int, dropout: float, align_corners: bool
    ) -> None:
        super().__init__()
        self.num_classes, self.align_corners = num_classes, align_corners
        (lower, _), (upper, _) = deepest(model, 2)
        self.backbone = model
        self.decode = FcnHead(upper, channels, num_classes, dropout=dropout)
        self.auxiliary = FcnHead(lower, channels // 2, num_classes, convolutions=1, dropout=dropout)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), normalised, to {"out": logits (B, num_classes, H, W)}; with "aux" in train mode."""
        lower, upper = deepest_maps(self.backbone, images, 2)
        logits = {"out": self.decode(upper)}
        if self.training:
            logits["aux"] = self.auxiliary(lower)
        size = images.shape[-2:]
        return {name: resized_logits(value, size, align_corners=self.align_corners) for name, value in logits.items()}


def fcn(
    model: nn.Module,
    num_classes: int,
    *,
    channels: int = 512,
    dropout: float = 0.1,
    align_corners: bool = False,
    stride: int = 8,
) -> Fcn:
    """FCN-D8 (or with another stride) as self-supervised backbones are judged by it. Everything is trained.

    timm's `output_stride=8` keeps stride 8 from res3 on and dilates instead, by 2 in res4 and 4 in res5. The first
    block of a dilated stage has half of that: what mmsegmentation calls `contract_dilation`, and has on for this
    protocol. With bottleneck blocks (resnet50) both are the same; of basic blocks (resnet18) timm dilates both
    convolutions, mmsegmentation the first alone. The weights are the same at any output stride.

    Args:
        model: A whole network with that output stride: `create_model(NAME, output_stride=8)`. Parameters that neither
            map depends on are frozen.
        num_classes: Labels are 0..num_classes - 1.
        channels: Of the decode head, 2 convolutions and one over both; the auxiliary head, 1 convolution, has half.
        dropout: In both heads.
        align_corners: How logits are resized to the image; True in the Cityscapes protocol.
        stride: Of the last map.

    Returns:
        A network that takes normalised images and gives logits of their size, as torchvision's segmentation networks
        do; `segmentation_losses` makes losses of them.

    Raises:
        BackboneError: the last map of `model` has another stride.
    """
    found = deepest(model, 2)[-1][1]
    if found != stride:
        raise BackboneError(
            f"FCN wants the last map at stride {stride}, this network has it at {found}: "
            f"create_model(NAME, output_stride={stride}), or fcn(..., stride={found})"
        )
    idle = set(outside_deepest(model, 2))
    for name, parameter in model.named_parameters():
        if name in idle:
            parameter.requires_grad_(False)
    return Fcn(model, num_classes, channels=channels, dropout=dropout, align_corners=align_corners)


def segmentation_losses(logits: dict[str, Tensor], masks: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of both heads, the auxiliary one times 0.4; their sum is minimised.

    As in mmsegmentation's default the mean is over **all** pixels, those labelled 255 too, which add nothing: an image
    that is mostly padding weighs less.

    Args:
        logits: `out` and `aux`, (B, num_classes, H, W) each.
        masks: (B, H, W) of any integer type; 255 is ignored.
    """
    weights = {"out": 1.0, "aux": AUXILIARY_WEIGHT}
    targets = masks.long()
    return {
        name: weights[name]
        * F.cross_entropy(value.float(), targets, ignore_index=IGNORED, reduction="sum")
        / targets.numel()
        for name, value in logits.items()
    }


def resized_logits(logits: Tensor, size: Any, *, align_corners: bool) -> Tensor:
    """Bilinear, (B, K, h, w) to (B, K, *size)."""
    if logits.shape[-2:] == tuple(size):
        return logits
    return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=align_corners)


def _convolution(in_channels: int, channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
