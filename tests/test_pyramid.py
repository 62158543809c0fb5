import pytest
import timm
import torch
from torchvision.models.detection import FasterRCNN, MaskRCNN

import ladder_hub
from ladder_hub.backbone import BackboneError, build_backbone, pyramid, stage_indices
from ladder_hub.pyramid import PyramidBackbone, with_fpn


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_backbone("resnet18")


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("res", ["res2", "res3", "res4", "res5"]),
        ("c", ["c2", "c3", "c4", "c5"]),
        ("torchvision", ["0", "1", "2", "3"]),
    ],
)
def test_a_pyramid_speaks_the_consumers_dialect(network, dialect, names):
    adapter = PyramidBackbone(network.eval(), dialect)
    images = torch.randn(1, 3, 75, 101)
    maps = adapter(images)
    assert list(maps) == names
    assert adapter.channels == dict(zip(names, (64, 128, 256, 512), strict=True))
    for mine, plain in zip(maps.values(), pyramid(network, images).values(), strict=True):
        assert torch.equal(mine, plain)


def test_the_readmes_detector_takes_a_pyramid_too(network):
    torch.manual_seed(1)
    whole = with_fpn(network, out_channels=32).eval()
    stages = {"features_only": True, "out_indices": (1, 2, 3, 4)}
    listed = timm.create_model("resnet18", **stages)
    listed.load_state_dict(network.state_dict())
    other = with_fpn(listed, out_channels=32).eval()
    other.fpn.load_state_dict(whole.fpn.state_dict())
    images = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        maps, same = whole(images), other(images)
    assert list(maps) == list(same) == ["0", "1", "2", "3", "pool"]
    assert all(torch.equal(maps[name], same[name]) for name in maps)
    model = MaskRCNN(with_fpn(ladder_hub.create_model("byol_r18", features_only=True)), num_classes=5, min_size=96)
    assert model.eval()([torch.rand(3, 90, 120)])[0].keys() == {"boxes", "labels", "scores", "masks"}


def test_a_pyramid_without_all_four_strides_makes_no_backbone():
    listed = ladder_hub.create_model("byol_r18", features_only=True, out_indices=(3, 4))
    with pytest.raises(BackboneError, match="it gives 16, 32; leave out_indices and output_stride out$"):
        with_fpn(listed)


def test_an_fpn_gives_five_maps_of_one_width(network):
    backbone = with_fpn(network, out_channels=32)
    maps = backbone(torch.randn(1, 3, 128, 128))
    assert {name: tuple(tensor.shape) for name, tensor in maps.items()} == {
        "0": (1, 32, 32, 32),
        "1": (1, 32, 16, 16),
        "2": (1, 32, 8, 8),
        "3": (1, 32, 4, 4),
        "pool": (1, 32, 2, 2),
    }
    assert backbone.out_channels == 32
    assert {id(p) for p in network.parameters()} <= {id(p) for p in backbone.parameters()}


@pytest.mark.parametrize("detector", [FasterRCNN, MaskRCNN])
def test_torchvisions_detectors_predict_and_train(network, detector):
    few = {f"rpn_{when}_nms_top_n_{mode}": 20 for when in ("pre", "post") for mode in ("train", "test")}
    model = detector(with_fpn(network, out_channels=32), num_classes=3, min_size=96, max_size=128, **few)
    image = torch.rand(3, 90, 120)
    prediction = model.eval()([image])[0]
    assert {"boxes", "labels", "scores"} <= prediction.keys()
    mask = torch.zeros(1, 90, 120, dtype=torch.uint8)
    mask[:, 20:60, 30:80] = 1
    target = {"boxes": torch.tensor([[30.0, 20.0, 80.0, 60.0]]), "labels": torch.tensor([1]), "masks": mask}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    before = network.conv1.weight.detach().clone()
    losses = model.train()([image, image], [target, target])
    sum(losses.values()).backward()
    optimiser.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert ("loss_mask" in losses) == (detector is MaskRCNN)
    assert not torch.equal(network.conv1.weight, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_a_scripted_backbone_gives_the_same_maps(name):
    torch.manual_seed(0)
    indices = tuple(stage_indices(build_backbone(name)).values())
    backbone = with_fpn(timm.create_model(name, features_only=True, out_indices=indices), out_channels=16).eval()
    scripted = torch.jit.script(backbone)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps, same = backbone(images), scripted(images)
    assert list(maps) == list(same) == ["0", "1", "2", "3", "pool"]
    for key, feature_map in maps.items():
        torch.testing.assert_close(same[key], feature_map)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_readmes_detector_can_be_scripted():
    listed = ladder_hub.create_model("byol_test_resnet", features_only=True)
    scripted = torch.jit.script(MaskRCNN(with_fpn(listed, 16), num_classes=3, min_size=64).eval())
    _, (found,) = scripted([torch.rand(3, 64, 80)])
    assert found.keys() == {"boxes", "labels", "scores", "masks"}
