import functools
import re

import pytest
import timm
import torch

from ladder_hub.backbone import (
    BackboneError,
    build_backbone,
    explicit_cfg,
    pyramid,
    skeleton,
    stage_channels,
    stage_indices,
)


@functools.cache
def network(name):
    torch.manual_seed(0)
    return build_backbone(name)


# (architecture, input height and width): a Swin takes multiples of its patch, the others anything.
NETWORKS = [
    ("resnet18", (75, 101)),
    ("resnet50", (75, 101)),
    ("convnext_atto", (75, 101)),
    ("regnety_002", (75, 101)),
    ("efficientnet_b0", (75, 101)),
    ("swin_tiny_patch4_window7_224", (76, 100)),
]


@pytest.mark.parametrize(("name", "size"), NETWORKS)
def test_every_network_gives_the_four_strides_in_train_mode(name, size):
    model = network(name).train()
    with torch.no_grad():
        maps = pyramid(model, torch.randn(1, 3, *size))
    assert list(maps) == ["res2", "res3", "res4", "res5"]
    for k, (stage, tensor) in enumerate(maps.items(), start=2):
        assert tensor.shape[:2] == (1, stage_channels(model)[stage])
        for side, cells in zip(size, tensor.shape[2:], strict=True):
            assert side // 2**k <= cells <= -(-side // 2**k)  # padding rounds up, patches round down


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_the_maps_are_timms_own(name):
    model = network(name).eval()
    overlay = {"state_dict": dict(model.state_dict()), "num_classes": 0}
    options = {"strict_img_size": False} if name.startswith("swin") else {}
    indices = tuple(stage_indices(model).values())
    stock = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay=overlay,
        features_only=True,
        out_indices=indices,
        **options,
    ).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = pyramid(model, images), stock(images)
    for tensor, other in zip(ours.values(), theirs, strict=True):
        channels_last = other.shape[1] != tensor.shape[1]  # timm's Swin features are (B, H, W, C)
        assert torch.equal(tensor, other.permute(0, 3, 1, 2) if channels_last else other)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "swin_tiny_patch4_window7_224"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_features_only_network_gives_the_same_maps(name, order):
    """timm returns them in the network's order whatever that of out_indices, a Swin's channels last."""
    whole = network(name).eval()
    options = {"strict_img_size": False} if name.startswith("swin") else {}
    indices = tuple(stage_indices(whole).values())[::order]
    overlay = {"state_dict": dict(whole.state_dict()), "num_classes": 0}
    listed = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=overlay, features_only=True, out_indices=indices, **options
    ).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = pyramid(whole, images), pyramid(listed, images)
    assert list(theirs) == list(ours)
    assert all(torch.equal(theirs[stage], ours[stage]) for stage in ours)
    assert stage_channels(listed) == stage_channels(whole)


def test_a_features_only_network_that_lacks_a_stride_is_one_line():
    model = timm.create_model("resnet18", features_only=True, out_indices=(1, 2))
    with pytest.raises(BackboneError) as error:
        pyramid(model, torch.randn(1, 3, 64, 64))
    assert str(error.value) == (
        "FeatureListNet has no feature pyramid: maps of stride 4, 8, 16 and 32 are needed, it gives 4, 8; "
        "leave out_indices and output_stride out"
    )


def test_a_network_whose_maps_timm_cannot_give_is_one_line():
    model = torch.nn.Identity()
    model.feature_info = [{"num_chs": 8, "reduction": 2**k} for k in range(2, 6)]
    with pytest.raises(BackboneError) as error:
        stage_indices(model, "mine")
    assert str(error.value) == (
        "mine has no feature pyramid: timm gives it no forward_intermediates; "
        "try resnet50, convnext_atto, regnety_008 or efficientnet_b0"
    )


def test_nothing_deeper_than_the_deepest_stage_is_computed(request):
    model = network("resnet18").eval()
    ran = []
    for layer in ("layer2", "layer3", "layer4"):
        hook = model.get_submodule(layer).register_forward_hook(lambda *_, name=layer: ran.append(name))
        request.addfinalizer(hook.remove)
    maps = pyramid(model, torch.randn(1, 3, 64, 64), ["res3", "res2"])
    assert list(maps) == ["res3", "res2"]
    assert maps["res3"].shape == (1, 128, 8, 8)
    assert ran == ["layer2"]


def test_gradients_reach_every_parameter_of_the_stages_asked_for():
    model = build_backbone("test_resnet")
    sum(tensor.square().mean() for tensor in pyramid(model, torch.randn(2, 3, 64, 64)).values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_no_classifier_and_random_weights():
    torch.manual_seed(1)
    first = build_backbone("test_resnet")
    second = build_backbone("test_resnet")
    assert first.num_classes == 0
    assert not any(key.startswith("fc") for key in first.state_dict())
    assert not torch.equal(first.conv1[0].weight, second.conv1[0].weight)


@pytest.mark.parametrize("name", [name for name, _ in NETWORKS])
def test_the_skeleton_has_the_networks_keys_and_no_memory(name):
    plan = skeleton(name, num_classes=0).state_dict()
    built = network(name).state_dict()
    assert {key: value.shape for key, value in plan.items()} == {key: value.shape for key, value in built.items()}
    assert all(value.is_meta for value in plan.values())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet5O", r"timm has no architecture 'resnet5O'; did you mean resnet50.* or .*\?"),
        ("resnet50.a1_in1k", r"timm has no architecture 'resnet50.a1_in1k'; did you mean resnet50 .*"),
        ("qqqqq", r"timm has no architecture 'qqqqq'"),
        (
            "vit_tiny_patch16_224",
            r"vit_tiny_patch16_224 has no feature pyramid: maps of stride 4, 8, 16 and 32 are needed, "
            r"it gives 16; try resnet50, convnext_atto, regnety_008 or efficientnet_b0",
        ),
    ],
)
def test_an_architecture_that_will_not_do_is_refused_by_name(name, text):
    with pytest.raises(BackboneError) as error:
        build_backbone(name)
    assert re.fullmatch(text, str(error.value))


def test_the_suggested_networks_exist():
    for name in ("resnet50", "convnext_atto", "regnety_008", "efficientnet_b0"):
        assert set(stage_channels(skeleton(name))) == {"res2", "res3", "res4", "res5"}


def test_an_unknown_stage_is_named():
    with pytest.raises(BackboneError, match=r"^no stage 'res6'; the stages are res2, res3, res4, res5$"):
        pyramid(network("resnet18"), torch.randn(1, 3, 64, 64), ["res6"])


def test_the_config_is_the_architectures_facts_and_nothing_of_its_default_tag():
    cfg = explicit_cfg("resnet50", image_size=224, crop_pct=0.875, license="cc-by-4.0")
    assert (cfg["first_conv"], cfg["classifier"], cfg["pool_size"]) == ("conv1", "fc", [7, 7])
    assert (cfg["input_size"], cfg["crop_pct"], cfg["license"]) == ([3, 224, 224], 0.875, "cc-by-4.0")
    default = timm.get_pretrained_cfg("resnet50")
    assert default.crop_pct != 0.875  # else the test above shows nothing
    assert "paper_ids" not in cfg
    assert timm.models.PretrainedCfg(**cfg).num_classes == 0


def test_a_network_of_fixed_input_keeps_its_own_size():
    cfg = explicit_cfg("swin_tiny_patch4_window7_224", image_size=64, crop_pct=1.0, license="mit")
    assert (cfg["input_size"], cfg["fixed_input_size"]) == ([3, 224, 224], True)
