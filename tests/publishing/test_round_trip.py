"""The libraries of an artifact's users, for real: each in a fresh process."""

import pytest
import torch
from artifact_factory import make_artifact, trained_backbone

from ladder_hub.publishing import outsider
from ladder_hub.publishing.lint import lint
from ladder_hub.publishing.round_trip import reference, round_trip
from ladder_hub.recipe import load_recipe
from ladder_hub.weights import load_tensors, save_canonical


def artifact(folder, name):
    recipe = load_recipe("tiny64_byol", [f"model.backbone={name}", "data.train=x", "data.license=cc0-1.0"])
    return make_artifact(folder / "artifact", recipe=recipe, metrics=[], backbone=trained_backbone(name))


def test_every_library_gives_the_same_and_the_lint_says_so(tmp_path):
    """A ResNet, which torchvision has too."""
    found = {check.name: check.result for check in lint(artifact(tmp_path, "resnet18"))}
    libraries = {name: found.pop(name) for name in outsider.LIBRARIES}
    assert libraries == dict.fromkeys(outsider.LIBRARIES, "ok")
    assert set(found.values()) == {"ok"}


def test_a_failure_is_its_last_line_and_no_module_comes_from_where_it_runs(tmp_path, monkeypatch):
    folder = artifact(tmp_path, "test_resnet")
    (tmp_path / "timm.py").write_text("raise SystemExit('skipped: the wrong timm')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outsider, "LIBRARIES", {"timm": outsider.through_timm, "no_such_library": None})
    monkeypatch.setattr("ladder_hub.publishing.round_trip.reference", lambda path: {"images": torch.zeros(1)})
    assert round_trip(folder) == {"timm": "KeyError: 'indices'", "no_such_library": "skipped: not installed here"}


@pytest.fixture
def wanted(tmp_path):
    """A folder, and the file that a program compares with."""
    folder = artifact(tmp_path, "test_resnet")
    torch.save(reference(folder), tmp_path / "reference.pt")
    return folder, tmp_path / "reference.pt"


def test_other_weights_than_the_verified_ones_are_told_apart(wanted):
    folder, file = wanted
    tensors = load_tensors(folder / "model.safetensors")
    changed = {"layer4.0.conv1.weight": tensors["layer4.0.conv1.weight"] * 2, "layer4.0.bn1.bias": torch.ones(96)}
    save_canonical(tensors | changed, folder / "model.safetensors")
    assert outsider.main("timm", str(folder), str(file)).startswith("map3 differs by up to ")


def test_another_shape_is_told(wanted, monkeypatch):
    folder, file = wanted
    monkeypatch.setitem(outsider.LIBRARIES, "timm", lambda folder, wanted: {"map0": wanted["map1"]})
    said = outsider.main("timm", str(folder), str(file))
    assert said == "map0 has the shape [1, 48, 8, 12], with ladder_hub [1, 32, 16, 24]"


def test_a_network_that_torchvision_lacks_is_passed_over(wanted):
    folder, file = wanted
    with pytest.raises(SystemExit, match="skipped: torchvision has no such network"):
        outsider.main("torchvision", str(folder), str(file))
