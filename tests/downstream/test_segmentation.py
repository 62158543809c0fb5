"""FCN: its parts, what stride 8 does to a network and its weights, and its losses."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from ladder_hub.backbone import BackboneError, build_backbone
from ladder_hub.downstream.segmentation.model import fcn, segmentation_losses
from ladder_hub.downstream.subject import open_subject


def net(name: str = "test_resnet", classes: int = 5, **kwargs) -> nn.Module:
    return fcn(build_backbone(name, output_stride=kwargs.get("stride", 8)), classes, channels=16, **kwargs)


def test_logits_have_the_size_of_the_images() -> None:
    model = net()
    images = torch.randn(2, 3, 65, 50)
    logits = model(images)
    assert {name: value.shape for name, value in logits.items()} == dict.fromkeys(("out", "aux"), (2, 5, 65, 50))
    assert list(model.eval()(images)) == ["out"]


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "efficientnet_b0", "regnety_008"])
def test_other_networks_and_every_trained_parameter_learns(name: str) -> None:
    model = net(name)
    images, masks = torch.randn(2, 3, 64, 64), torch.randint(0, 5, (2, 64, 64))
    sum(segmentation_losses(model(images), masks).values()).backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert all(gradient is not None for gradient in trained.values())
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert all("head" in name or "norm" in name or "bn2" in name or "conv_head" in name for name in frozen)


def test_the_heads_are_the_protocols() -> None:
    """resnet50: 2048 to 512 to 512, with the map 2560 to 512, 512 to 21; and 1024 to 256 to 21."""
    with torch.device("meta"):
        model = fcn(timm.create_model("resnet50", num_classes=0, output_stride=8), 21)
    shapes = {
        head: [tuple(m.weight.shape) for m in getattr(model, head).modules() if isinstance(m, nn.Conv2d)]
        for head in ("decode", "auxiliary")
    }
    assert shapes["decode"] == [(512, 2048, 3, 3), (512, 512, 3, 3), (512, 2560, 3, 3), (21, 512, 1, 1)]
    assert shapes["auxiliary"] == [(256, 1024, 3, 3), (21, 256, 1, 1)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.decode.modules()) == 3
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout2d)] == [0.1, 0.1]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_dilations_are_those_of_contract_dilation() -> None:
    """What mmsegmentation does: res4 2 and res5 4, but the first block of each half of that; no stride."""
    with torch.device("meta"):
        model = timm.create_model("resnet50", num_classes=0, output_stride=8)
    found = [
        [(block.conv2.dilation[0], block.conv2.stride[0], block.conv2.padding[0]) for block in stage]
        for stage in (model.layer2, model.layer3, model.layer4)
    ]
    assert found[0] == [(1, 2, 1), *[(1, 1, 1)] * 3]
    assert found[1] == [(1, 1, 1), *[(2, 1, 2)] * 5]
    assert found[2] == [(2, 1, 2), *[(4, 1, 4)] * 2]


@pytest.mark.parametrize("name", ["resnet50", "resnet18", "convnext_atto"])
def test_stride_8_keeps_every_key_and_shape(name: str) -> None:
    with torch.device("meta"):
        plain, dilated = (timm.create_model(name, num_classes=0, output_stride=s) for s in (32, 8))
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (plain, dilated)]
    assert shapes[0] == shapes[1]


def test_the_subjects_weights_are_used_and_random_ones_differ() -> None:
    """Every tensor of the backbone, the stem's too, is the subject's; heads are not part of it."""
    first, second = (open_subject("random:test_resnet", seed=seed) for seed in (0, 1))
    model = fcn(first.rebuilt(output_stride=8), 3, channels=8)
    expected, other = first.backbone.state_dict(), second.backbone.state_dict()
    found = model.backbone.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    drawn = [k for k in expected if k.endswith("weight") and expected[k].ndim > 1]
    assert len(drawn) > 5
    assert all(not torch.equal(found[key], other[key]) for key in drawn)


def test_another_stride_than_said_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"last map at stride 8, this network has it at 32: .*output_stride=8\)"):
        fcn(build_backbone("test_resnet"), 3)
    assert net(stride=16)(torch.randn(2, 3, 64, 64))["out"].shape == (2, 5, 64, 64)


def test_align_corners_reaches_the_corners() -> None:
    """With it, the corner pixels are those of the small map; without, they are beyond its outermost centres."""
    images = torch.randn(1, 3, 65, 65)
    torch.manual_seed(0)
    aligned = net(align_corners=True).eval()
    with torch.inference_mode():
        out = aligned(images)["out"]
        small = aligned.decode(aligned.backbone.forward_intermediates(images, indices=[4], intermediates_only=True)[0])
        assert torch.allclose(
            out[..., ::64, ::64], small[..., :: small.shape[-2] - 1, :: small.shape[-1] - 1], atol=1e-6
        )
        aligned.align_corners = False
        assert not torch.allclose(aligned(images)["out"], out, atol=1e-4)


def test_losses_are_means_over_all_pixels_ignored_ones_too() -> None:
    torch.manual_seed(0)
    logits = {name: torch.randn(2, 4, 6, 7, dtype=torch.float64) for name in ("out", "aux")}
    masks = torch.randint(0, 4, (2, 6, 7), dtype=torch.uint8)
    masks[0, :3] = 255
    found = segmentation_losses(logits, masks)
    for name, weight in (("out", 1.0), ("aux", 0.4)):
        log_p = F.log_softmax(logits[name], 1)
        places = [(b, int(masks[b, y, x]), y, x) for b in range(2) for y in range(6) for x in range(7)]
        terms = [-log_p[place] for place in places if place[1] < 4]
        assert found[name].item() == pytest.approx(weight * torch.stack(terms).sum().item() / 84, rel=1e-6)
    assert segmentation_losses(logits, torch.full_like(masks, 255))["out"] == 0
