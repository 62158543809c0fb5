"""A backbone in the dialect of whoever consumes its pyramid, up to torchvision's detectors.

Everything is a plain module around the network, whose parameters stay its own: fine-tuning, freezing and
saving work as for any other.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from ladder_hub.backbone import STAGE_NAMES, lists_maps, pyramid, stage_channels, stage_indices

Dialect = Literal["res", "c", "torchvision"]
_DIALECTS: dict[str, tuple[str, ...]] = {
    "res": STAGE_NAMES,
    "c": ("c2", "c3", "c4", "c5"),
    "torchvision": ("0", "1", "2", "3"),
}


class PyramidBackbone(nn.Module):
    """The four maps of a network by name, lowest stride first.

    Args:
        model: From `create_model`, whole or with `features_only`, or from `build_backbone`.
        dialect: `res` for res2..res5 (detectron2), `c` for c2..c5, `torchvision` for "0".."3".

    Attributes:
        channels: {name: C}, in the order of the output.

    Raises:
        BackboneError: one of the strides 4, 8, 16, 32 is missing.
    """

    # Constants to TorchScript: what a network doesn't do is not compiled.
    lists_maps: Final[bool]
    channels_last: Final[bool]

    def __init__(self, model: nn.Module, dialect: Dialect = "res") -> None:
        super().__init__()
        self.body = model
        self.names = list(_DIALECTS[dialect])
        channels, indices = stage_channels(model), stage_indices(model)
        self.channels = {name: channels[stage] for stage, name in zip(STAGE_NAMES, self.names, strict=True)}
        self.positions = [indices[stage] for stage in STAGE_NAMES]
        self.lists_maps = lists_maps(model)
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), normalised, to an ordered {name: (B, C, H / stride, W / stride)}.

        `torch.jit.script` takes it around a network made with `features_only`.
        """
        found = OrderedDict()
        if self.lists_maps:
            maps = self.body(images)
            for position, name in zip(self.positions, self.names):  # noqa: B905 (TorchScript has no strict)
                feature_map = maps[position]
                found[name] = feature_map.permute(0, 3, 1, 2) if self.channels_last else feature_map
        else:
            for name, feature_map in zip(self.names, pyramid(self.body, images).values()):  # noqa: B905
                found[name] = feature_map
        return found


class FpnBackbone(nn.Module):
    """A network with torchvision's feature pyramid network on top: what its detectors call a backbone.

    Attributes:
        out_channels: Channels of every map that leaves it.
    """

    def __init__(self, model: nn.Module, out_channels: int, norm: Callable[..., nn.Module] | None = None) -> None:
        super().__init__()
        self.body = PyramidBackbone(model, "torchvision")
        self.fpn = FeaturePyramidNetwork(
            list(self.body.channels.values()), out_channels, extra_blocks=LastLevelMaxPool(), norm_layer=norm
        )
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) to {"0", "1", "2", "3", "pool": (B, out_channels, ...)} at strides 4 to 64."""
        return self.fpn(self.body(images))


def with_fpn(model: nn.Module, out_channels: int = 256, *, norm: Callable[..., nn.Module] | None = None) -> FpnBackbone:
    """A backbone for `torchvision.models.detection.FasterRCNN`, `MaskRCNN`, `RetinaNet`, ...

    The FPN starts at random. BatchNorm of the network stays trainable, as fine-tuning from self-supervised
    weights wants it (torchvision's own backbones freeze theirs).

    Args:
        model: From `create_model`, whole or with `features_only`, or from `build_backbone`.
        out_channels: Channels of every FPN map.
        norm: Of the FPN, such as `nn.BatchNorm2d`; None: it has none.

    Raises:
        BackboneError: one of the strides 4, 8, 16, 32 is missing.
    """
    return FpnBackbone(model, out_channels, norm)
