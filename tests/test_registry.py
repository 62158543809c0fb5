"""The zoo: every entry of it, and the ways in which an entry may be wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from artifact_factory import REPOSITORY, make_artifact, metric, python, trained_backbone

from ladder_hub import registry
from ladder_hub.artifact.reading import read_artifact
from ladder_hub.models import create_model, list_models
from ladder_hub.publishing.lint import lint
from ladder_hub.recipe import load_recipe
from ladder_hub.registry import Entry
from ladder_hub.weights import file_sha256, load_tensors, save_canonical, tensor_digest

ALL = 12_000_000  # bytes of weights in git and in the wheel


def faults(entry: Entry) -> list[str]:
    """What is wrong with an entry, if anything."""
    if entry.status == "recipe only":
        extra = [key for key in ("repository", "revision", "sha256", "license") if getattr(entry, key)]
        return [f"{key} without weights" for key in extra] + (["a folder without weights"] * entry.folder.exists())
    found = [f"no {key}" for key in ("sha256", "license") if not getattr(entry, key)]
    if entry.status == "published" or entry.repository:
        commit = len(entry.revision) == 40 and set(entry.revision) <= set("0123456789abcdef")
        found += [] if commit and entry.repository else ["no repository and commit"]
    if not entry.folder.is_dir():
        return [*found, "no folder"]
    config = json.loads((entry.folder / "config.json").read_text())
    if config["ladder_hub"]["sha256"] != entry.sha256:
        found.append("another sha256 than in the config")
    if (config["architecture"], config["pretrained_cfg"]["license"]) != (entry.architecture, entry.license):
        found.append("another architecture or licence than in the config")
    if load_recipe(entry.recipe, entry.overrides).fingerprint() != config["ladder_hub"]["recipe_fingerprint"]:
        found.append("another recipe than the weights were trained by")
    return found + (shipped_faults(entry) if entry.status == "shipped" else [])


def shipped_faults(entry: Entry) -> list[str]:
    if not (entry.folder / "model.safetensors").is_file():
        return ["no weights"]
    return [problem for check in lint(entry.folder, libraries=False) for problem in check.problems]


@pytest.mark.parametrize("name", list(registry.entries()))
def test_every_entry_is_what_it_says(name):
    assert faults(registry.find(name)) == []


def test_the_shipped_weights_are_small_and_nothing_else_lies_in_the_zoo():
    assert sum(path.stat().st_size for path in (REPOSITORY / "zoo").rglob("*.safetensors")) <= ALL
    folders = {path.name for path in (REPOSITORY / "zoo").iterdir() if path.is_dir()} - {"runs"}
    assert folders == {name for name, entry in registry.entries().items() if entry.status != "recipe only"}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo with a model whose weights, in half precision, lie beside its card."""
    recipe = load_recipe("tiny64_byol", ["model.backbone=test_resnet", "data.train=x", "data.license=cc0-1.0"])
    backbone = trained_backbone()
    folder = make_artifact(tmp_path / "zoo" / "mine_r10.shapes", recipe=recipe, metrics=[], backbone=backbone)
    halve(folder)
    write(tmp_path / "zoo", file_sha256(folder / "model.safetensors"))
    monkeypatch.setattr(registry, "shipped", tmp_path.joinpath)
    return tmp_path / "zoo"


def halve(folder: Path) -> None:
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in load_tensors(folder / "model.safetensors").items()
    }
    save_canonical(tensors, folder / "model.safetensors")
    sha256, digest = file_sha256(folder / "model.safetensors"), tensor_digest(tensors)
    for name, keys in (("config", ("sha256", "digest")), ("provenance", ("weights_sha256", "weights_digest"))):
        value = json.loads((folder / f"{name}.json").read_text())
        (value["ladder_hub"] if name == "config" else value).update(zip(keys, (sha256, digest), strict=True))
        (folder / f"{name}.json").write_text(json.dumps(value))


def write(zoo: Path, sha256: str, **changes: str) -> None:
    keys = {"architecture": "test_resnet", "recipe": "tiny64_byol", "status": "shipped", "sha256": sha256}
    keys |= {"license": "apache-2.0", **changes}
    lines = [f'{key} = "{value}"' for key, value in keys.items()] + ['overrides = ["model.backbone=test_resnet"]']
    (zoo / "index.toml").write_text("\n".join(['["mine_r10.shapes"]', *lines, ""]))


def test_shipped_weights_load_by_name_without_any_network(zoo):
    assert list_models(pretrained=True) == ["mine_r10.shapes"]
    assert faults(registry.find("mine_r10.shapes")) == []
    model = create_model("mine_r10.shapes", pretrained=True).eval()
    receipt = model.load_receipt
    assert (receipt.source, receipt.verified) == ("mine_r10.shapes", True)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    images, whole = torch.randn(2, 3, 64, 64), trained_backbone().eval()
    with torch.no_grad():
        assert torch.allclose(model(images), whole(images), rtol=0.05, atol=0.02)
        assert not torch.equal(model(images), whole(images))


def test_a_shipped_file_that_changed_is_refused(zoo):
    path = zoo / "mine_r10.shapes" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(registry.ModelError, match="not the published weights: sha256 "):
        create_model("mine_r10.shapes", pretrained=True)
    assert "not the published weights" in str(faults(registry.find("mine_r10.shapes")))


def test_where_the_weights_are_gone_only_what_the_hub_has_can_be_had(zoo):
    (zoo / "mine_r10.shapes" / "model.safetensors").unlink()
    assert list_models(pretrained=True) == []
    with pytest.raises(registry.ModelError, match=r"no weights are published \(no model of the zoo has published"):
        create_model("mine_r10.shapes", pretrained=True)
    write(zoo, "5" * 64, repository="org/mine", revision="c" * 40)
    assert list_models(pretrained=True) == ["mine_r10.shapes"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"license": ""}, "no license"),
        ({"license": "mit"}, "another architecture or licence than in the config"),
        ({"architecture": "resnet18"}, "another architecture or licence than in the config"),
        ({"sha256": "5" * 64}, "another sha256 than in the config"),
        ({"status": "published"}, "no repository and commit"),
        ({"status": "published", "repository": "org/mine", "revision": "main"}, "no repository and commit"),
        ({"status": "recipe only"}, "sha256 without weights"),
        ({"recipe": "tiny64_ladder_byol"}, "another recipe than the weights were trained by"),
    ],
)
def test_the_walk_sees_what_is_wrong(zoo, changes, fault):
    sha256 = changes.get("sha256") or file_sha256(zoo / "mine_r10.shapes" / "model.safetensors")
    write(zoo, sha256, **{key: value for key, value in changes.items() if key != "sha256"})
    assert fault in faults(registry.find("mine_r10.shapes"))


def test_the_walk_sees_a_folder_that_is_no_artifact(zoo):
    (zoo / "mine_r10.shapes" / "notes.txt").write_text("x")
    assert "notes.txt is no file of an artifact" in faults(registry.find("mine_r10.shapes"))[0]
    shutil.rmtree(zoo / "mine_r10.shapes")
    assert faults(registry.find("mine_r10.shapes")) == ["no folder"]


def test_figures_of_the_shipped_weights_stay_theirs(zoo):
    digest = read_artifact(zoo / "mine_r10.shapes").config["ladder_hub"]["digest"]
    (zoo / "mine_r10.shapes" / "metrics.json").write_text(json.dumps([metric(weights="0" * 64)]))
    assert digest != "0" * 64
    assert "is of other weights" in str(faults(registry.find("mine_r10.shapes")))


def test_listing_brings_in_neither_torch_nor_the_hub(tmp_path):
    code = "import sys, ladder_hub\nladder_hub.list_models(pretrained=True)\nprint(*sys.modules)"
    assert not {"torch", "timm", "huggingface_hub"} & set(python(code, cwd=tmp_path).split())
