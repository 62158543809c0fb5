"""FLOPs counted call by call, against torch's own counter over a training pass of the learner."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from ladder_hub.backbone import build_backbone
from ladder_hub.siamese.learner import Learner
from ladder_hub.siamese.levels import LEVELS, Level
from ladder_hub.training.flops import Flops, count_flops
from ladder_hub.training.skeleton import shapes_of

METHODS = list(LEVELS)
WIDTHS = {"hidden": 256, "out": 64, "grid": 4}


def torch_counts(learner: Learner, size: int, custom: dict[Any, Any] | None = None) -> float:
    """An image's share of a training pass of two, where the learner lies."""
    device = next(learner.parameters()).device
    images = torch.zeros(2, 3, size, size, device=device)
    with FlopCounterMode(display=False, custom_mapping=custom) as counter, pytest.MonkeyPatch.context() as patch:
        if device.type == "meta":  # it has no autocast to switch off
            patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        learner.total(learner(images, images).losses).backward()
    return counter.get_total_flops() / 2


def convolution_backward(
    grad: Any, x: Any, weight: Any, _bias: Any, _stride: Any, _pad: Any, _dilation: Any, transposed: bool,
    _out_pad: Any, _groups: Any, mask: Any, out_shape: Any,
) -> int:  # fmt: skip
    """Torch's own formula leaves the groups out of the weight's gradient: depthwise layers count channels times."""
    assert not transposed
    return conv_flop_count(x, weight, grad) * sum(mask[:2])


MENDED = {torch.ops.aten.convolution_backward: convolution_backward}


def counted(backbone: str, method: str, size: int, **widths: int) -> Flops:
    return count_flops(shapes_of(backbone, LEVELS[method], **widths), size=size)


@pytest.mark.parametrize("method", METHODS)
def test_resnet18_against_torch_on_real_numbers(method: str) -> None:
    learner = Learner(build_backbone("resnet18"), LEVELS[method], **WIDTHS).train()
    assert counted("resnet18", method, 64, **WIDTHS).total == pytest.approx(torch_counts(learner, 64), rel=1e-6)


@pytest.mark.parametrize("method", ["byol", "ladder_dense"])
def test_resnet50_against_torch_at_the_papers_size(method: str) -> None:
    papers = {"hidden": 4096, "out": 256, "grid": 7}
    theirs = torch_counts(shapes_of("resnet50", LEVELS[method], **papers), 224)
    assert counted("resnet50", method, 224, **papers).total == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("method", ["byol", "ladder_dense"])
def test_a_depthwise_network_against_torch_with_its_groups_mended(method: str) -> None:
    theirs = torch_counts(shapes_of("convnext_atto", LEVELS[method], **WIDTHS), 64, MENDED)
    assert counted("convnext_atto", method, 64, **WIDTHS).total == pytest.approx(theirs, rel=1e-6)


def test_attention_against_torch() -> None:
    name = "pvt_v2_b0"
    theirs = torch_counts(shapes_of(name, LEVELS["byol"], **WIDTHS), 64, MENDED)
    assert counted(name, "byol", 64, **WIDTHS).total == pytest.approx(theirs, rel=0.02)


def test_a_resnet50_forward_is_the_known_figure() -> None:
    """4.09 G multiply-adds a view (torchvision's table, without the classifier's 0.002)."""
    flops = counted("resnet50", "byol", 224, **WIDTHS)
    assert flops.backbone_forward == pytest.approx(2 * 2 * 4.087e9, rel=0.002)
    assert flops.target_backbone == flops.backbone_forward
    first = 2 * 2 * 112 * 112 * 64 * 3 * 7 * 7  # of two views; images need no gradient
    assert flops.backbone_backward == pytest.approx(2 * flops.backbone_forward - first, rel=1e-9)


def test_parts_by_hand() -> None:
    """One dense level on res5 at 64 pixels: a map of 2 x 2 cells, test_resnet's channels."""
    levels = (Level("res5", "dense"),)
    flops = count_flops(shapes_of("test_resnet", levels, hidden=32, out=16, grid=7), size=64)
    channels = learner_channels()
    projector, predictor = 2 * (channels * 32 + 32 * 16), 2 * (16 * 32 + 32 * 16)
    places = 2 * (4 + 1)  # views times (cells of the dense head, and the global one)
    assert flops.heads_forward == places * (projector + predictor)
    assert flops.heads_backward == 2 * flops.heads_forward
    assert flops.target_heads == places * projector
    assert flops.matching == 2 * (2 * 4 * 4 * 16)
    parts = (flops.backbone_forward, flops.heads_forward, flops.matching, flops.target_backbone, flops.target_heads)
    assert flops.total == sum(parts) + flops.backbone_backward + flops.heads_backward
    assert flops.total == flops.forward + flops.target + flops.backward


def learner_channels() -> int:
    backbone: Any = build_backbone("test_resnet")
    last = [module for module in backbone.layer4.modules() if isinstance(module, nn.Conv2d)][-1]
    return last.out_channels
