"""Every MODEL an evaluation takes, and the same weights built another way."""

from pathlib import Path

import pytest
import torch
from artifact_factory import make_artifact, trained_backbone

from ladder_hub.backbone import BackboneError, build_backbone, pyramid
from ladder_hub.downstream.subject import open_subject
from ladder_hub.errors import UserError
from ladder_hub.weights import tensor_digest


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


def test_an_artifact_is_what_was_trained(artifact: Path) -> None:
    subject = open_subject(str(artifact))
    trained = trained_backbone().state_dict()
    assert (subject.architecture, subject.artifact.folder) == ("test_resnet", artifact)
    assert subject.weights == tensor_digest(trained)
    assert all(torch.equal(value, trained[name]) for name, value in subject.backbone.state_dict().items())


def test_the_weights_really_are_used(artifact: Path) -> None:
    """Every parameter and statistic differs from the untrained network's, save what training can't move."""
    fresh = open_subject("random:test_resnet").backbone.state_dict()
    loaded = open_subject(str(artifact)).backbone.state_dict()
    assert loaded.keys() == fresh.keys()
    assert [name for name in loaded if torch.equal(loaded[name], fresh[name])] == []


def test_random_is_the_same_for_the_same_seed_and_leaves_chance_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (open_subject("random:test_resnet", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert one.weights == same.weights != other.weights
    torch.manual_seed(1)
    assert one.weights == tensor_digest(build_backbone("test_resnet").state_dict())
    assert one.artifact is None
    assert one.backbone.pretrained_cfg["crop_pct"] == 0.875


def test_random_of_a_model_is_its_network_and_its_images_untrained(artifact: Path) -> None:
    untrained, trained = open_subject(f"random:{artifact}"), open_subject(str(artifact))
    assert untrained.weights == open_subject("random:test_resnet").weights != trained.weights
    assert untrained.artifact is None
    for key in ("input_size", "crop_pct", "mean", "std"):
        assert untrained.backbone.pretrained_cfg[key] == trained.backbone.pretrained_cfg[key]
    assert untrained.backbone.pretrained_cfg["input_size"] == [3, 64, 64]


@pytest.mark.parametrize("model", ["random:resnet18", "random:convnext_atto"])
def test_rebuilt_as_a_pyramid_it_gives_the_same_maps(model: str) -> None:
    subject = open_subject(model)
    images = torch.randn(2, 3, 64, 64)
    other = subject.rebuilt(features_only=True).eval()
    with torch.no_grad():
        expected, found = pyramid(subject.backbone.eval(), images), pyramid(other, images)
    for stage, feature_map in expected.items():
        torch.testing.assert_close(found[stage], feature_map, rtol=1e-4, atol=1e-4)


def test_rebuilt_with_another_stride_it_has_the_same_weights(artifact: Path) -> None:
    subject = open_subject(str(artifact))
    dilated = subject.rebuilt(output_stride=8)
    assert tensor_digest(dilated.state_dict()) == subject.weights
    assert dilated.forward_features(torch.randn(2, 3, 64, 64)).shape[-2:] == (8, 8)
    with torch.no_grad():
        next(dilated.parameters()).zero_()
    assert tensor_digest(subject.backbone.state_dict()) == subject.weights  # copies, not the same memory


def test_another_stem_is_refused() -> None:
    """A deep stem has other tensors: built without a word it would stay random."""
    with pytest.raises(BackboneError, match="can't be built as asked"):
        open_subject("random:resnet18").rebuilt(stem_type="deep", stem_width=32)


def test_weights_of_timm(tmp_path: Path, monkeypatch) -> None:
    """What timm would download comes from a file here: its own weights with a classifier, read headless."""
    import timm
    from timm.models import get_pretrained_cfg

    published = timm.create_model("test_resnet")
    cfg = get_pretrained_cfg("test_resnet.r160_in1k").to_dict() | {"state_dict": published.state_dict()}
    monkeypatch.setattr("ladder_hub.downstream.subject.published_cfg", lambda name: cfg)
    subject = open_subject("timm:test_resnet.r160_in1k")
    assert subject.architecture == "test_resnet"
    assert subject.backbone.num_classes == 0
    kept = {name: value for name, value in published.state_dict().items() if not name.startswith("fc.")}
    assert subject.weights == tensor_digest(kept)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("random:resnet5o", r"no architecture 'resnet5o'; did you mean"),
        ("random:vit_tiny_patch16_224", "no feature pyramid"),
        ("timm:resnet18.nonsense", "timm publishes no weights 'resnet18.nonsense'; it has resnet18\\.a1"),
        ("timm:nothing", "it has none of this architecture"),
        ("nowhere/artifact", "no folder nowhere/artifact"),
        ("random:nowhere/artifact", "no folder nowhere/artifact"),
        ("ladder_byol_r50", "no weights are published"),
    ],
)
def test_one_line_says_what_is_wrong(model: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_subject(model)
    assert "\n" not in str(error.value)
