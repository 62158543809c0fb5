"""The pyramid as one traced program, free in batch and image size."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, example_images
from ladder_hub.pyramid import PyramidBackbone

SMALLEST = 64
"""Pixels a side: below it a map of stride 32 has one row, which the tracer takes for another program."""


class FourMaps(nn.Module):
    """Images (B, 3, H, W) to the maps of res2, res3, res4, res5."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.pyramid = PyramidBackbone(network)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps, lowest stride first."""
        maps = self.pyramid(images)
        return tuple(maps[stage] for stage in STAGE_NAMES)


def traced(model: Exported) -> tuple[FourMaps, ExportedProgram]:
    """The pyramid and its program.

    Raises:
        FormatError: the network can't be traced with free sizes.
    """
    pyramid = FourMaps(model.network).eval()
    shapes = {"images": {0: Dim("batch", min=1), 2: Dim("height", min=SMALLEST), 3: Dim("width", min=SMALLEST)}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                pyramid,
                tuple(example_images((2, 224, 192))),
                dynamic_shapes=shapes,
                # What a pool with rounded-up sizes asks of a size is true of every size, and can't be proved.
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # whatever the tracer meets in a network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FormatError(f"{model.architecture} can't be traced with free batch and size: {reason[:300]}") from None
    for node in program.graph.nodes:
        # It names the folders of this machine, for everybody who opens the file.
        node.meta.pop("stack_trace", None)
    return pyramid, program


def largest_difference(pyramid: FourMaps, copy: Callable[[Tensor], Sequence[Tensor]], images: Tensor) -> float:
    """Between the maps of the two, as a share of a map's largest value where that is above 1.

    Args:
        pyramid: The network.
        copy: Takes images and gives four tensors.
        images: (B, 3, H, W).
    """
    with torch.no_grad():
        pairs = zip(pyramid(images), copy(images), strict=True)
        return max(float((own - other).abs().max() / own.abs().max().clamp(min=1)) for own, other in pairs)


CHECKS = ((1, SMALLEST, 96), (3, 161, 225))
"""Batch, height and width of the images on which a copy is compared."""
