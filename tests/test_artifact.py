import json
import os
import re
import shutil
import tomllib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import safetensors
import torch
from artifact_factory import (
    FINGERPRINT,
    PROVENANCE,
    RECIPE,
    log_lines,
    make_artifact,
    metric,
    python,
    trained_backbone,
)
from processes import CONTEXT

from ladder_hub.artifact import changing, writing
from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.reading import ArtifactError, load_heads, read_artifact
from ladder_hub.artifact.swap import sole_writer
from ladder_hub.artifact.writing import write_artifact
from ladder_hub.backbone import build_backbone
from ladder_hub.models import ModelError, create_model
from ladder_hub.recipe import load_recipe
from ladder_hub.weights import file_sha256, load_tensors, save_canonical, tensor_digest

FILES = [
    "README.md",
    "config.json",
    "curves.png",
    "ladder_heads.safetensors",
    "metrics.json",
    "model.safetensors",
    "provenance.json",
    "recipe.toml",
]


HEADS_FILE = "ladder_heads.safetensors"
HEADS = {"online.projectors.res5.weight": torch.ones(2, 3)}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact", heads=HEADS)


@pytest.fixture
def mine(tmp_path):
    return make_artifact(tmp_path / "artifact", metrics=[])


def test_an_artifact_is_these_files(artifact):
    assert sorted(path.name for path in artifact.iterdir()) == FILES
    assert [path.name for path in artifact.parent.iterdir()] == ["artifact"]


def test_heads_are_optional(mine):
    assert sorted(path.name for path in mine.iterdir()) == [name for name in FILES if "heads" not in name]


def test_the_weights_are_stock_headless_float32_and_the_networks_own(artifact):
    tensors = load_tensors(artifact / "model.safetensors")
    state = trained_backbone().state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], value) for key, value in state.items())
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values() if tensor.is_floating_point())
    with safetensors.safe_open(artifact / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_half_precision_is_published_as_float32(tmp_path):
    make_artifact(tmp_path / "artifact", backbone=trained_backbone().bfloat16(), metrics=[])
    assert load_tensors(tmp_path / "artifact" / "model.safetensors")["conv1.0.weight"].dtype == torch.float32


def test_the_config_is_explicit_and_ours_stands_apart(artifact):
    config = json.loads((artifact / "config.json").read_text())
    assert config.keys() == {"architecture", "num_classes", "num_features", "pretrained_cfg", "ladder_hub"}
    assert (config["architecture"], config["num_classes"], config["num_features"]) == ("test_resnet", 0, 96)
    cfg = config["pretrained_cfg"]
    assert (cfg["input_size"], cfg["crop_pct"], cfg["interpolation"]) == ([3, 64, 64], 1.0, "bicubic")
    assert (cfg["first_conv"], cfg["classifier"], cfg["license"]) == ("conv1.0", "fc", "apache-2.0")
    assert (cfg["mean"], cfg["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    ours = config["ladder_hub"]
    assert ours["levels"][0] == {"stage": "res2", "loss": "dense", "weight": 1 / 16}
    assert (ours["method"], ours["recipe"], ours["branch"]) == (
        "ladder_dense",
        "tiny64_ladder_dense",
        "online",
    )
    assert (ours["recipe_fingerprint"], ours["samples_seen"]) == (RECIPE.fingerprint(), 24_680)
    assert ours["sha256"] == file_sha256(artifact / "model.safetensors")
    assert ours["digest"] == tensor_digest(trained_backbone().state_dict())


def test_provenance_is_what_the_run_gave_and_the_digests(artifact):
    provenance = read_artifact(artifact).provenance
    assert provenance.items() >= PROVENANCE.items()
    assert provenance["weights_sha256"] == file_sha256(artifact / "model.safetensors")
    assert provenance["weights_digest"] == tensor_digest(trained_backbone().state_dict())
    assert provenance["recipe_fingerprint"] == RECIPE.fingerprint()


def test_the_recipe_runs_again(artifact):
    assert load_recipe(str(artifact / "recipe.toml")) == RECIPE
    assert tomllib.loads(read_artifact(artifact).recipe)["method"] == "ladder_dense"


def test_a_run_folder_reads_as_its_artifact(artifact):
    read = read_artifact(artifact.parent)
    assert (read.folder, read.architecture, read.weights) == (
        artifact,
        "test_resnet",
        artifact / "model.safetensors",
    )
    assert [entry["value"] for entry in read.metrics] == [0.4321]
    assert read.metrics[0]["weights"] == read.config["ladder_hub"]["digest"]


def test_the_same_run_writes_the_same_bytes(artifact, tmp_path):
    again = make_artifact(tmp_path / "artifact", heads=HEADS)
    for name in FILES:
        assert (again / name).read_bytes() == (artifact / name).read_bytes(), name


def test_a_network_that_is_not_stock_is_refused_and_nothing_is_written(tmp_path):
    backbone = build_backbone("test_resnet")
    backbone.extra = torch.nn.Linear(2, 2)
    for network, name in (
        (backbone, "extra.bias"),
        (torch.nn.Sequential(build_backbone("test_resnet")), "0.bn1.bias"),
    ):
        with pytest.raises(ArtifactError) as error:
            make_artifact(tmp_path / "artifact", backbone=network)
        assert str(error.value) == f"the backbone is not the stock test_resnet: {name} differs; nothing was written"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_keeps_the_old_artifact_whole(mine, monkeypatch):
    before = {path.name: path.read_bytes() for path in mine.iterdir()}

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(writing, "render_card", fail)
    with pytest.raises(OSError, match="disk full"):
        make_artifact(mine, backbone=build_backbone("test_resnet"))
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert [path.name for path in mine.parent.iterdir()] == ["artifact"]


def test_what_a_killed_run_left_behind_is_no_obstacle(mine):
    (mine.parent / ".artifact.new").mkdir()
    (mine.parent / ".artifact.new" / "model.safetensors").write_bytes(b"half")
    (mine / "stale.txt").write_text("of the run before")
    make_artifact(mine, metrics=[])
    assert not (mine / "stale.txt").exists()
    assert [path.name for path in mine.parent.iterdir()] == ["artifact"]
    assert create_model(str(mine)).load_receipt.verified


def refuse_to_move(monkeypatch, name):
    rename = Path.rename

    def move(self, target):
        if self.name == name:
            raise OSError("no such luck")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", move)


def test_a_new_artifact_that_cannot_take_its_place_leaves_the_old_one(mine, monkeypatch):
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    refuse_to_move(monkeypatch, ".artifact.new")
    with pytest.raises(OSError, match="no such luck"):
        make_artifact(mine, backbone=build_backbone("test_resnet"), metrics=[])
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert [path.name for path in mine.parent.iterdir()] == ["artifact"]


def test_a_kill_between_the_two_renames_loses_nothing(mine, monkeypatch):
    add_metrics(mine, [measured(mine, value=0.1)])
    mine.rename(mine.with_name(".artifact.old"))
    with monkeypatch.context() as broken:
        broken.setattr(writing, "draw_curves", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make_artifact(mine, metrics=[])
    assert create_model(mine).load_receipt.verified
    mine.rename(mine.with_name(".artifact.old"))
    make_artifact(mine, metrics=[])
    assert [entry["value"] for entry in read_artifact(mine).metrics] == [0.1]
    assert [path.name for path in mine.parent.iterdir()] == ["artifact"]


def test_finishing_a_run_again_keeps_what_eval_measured_on_the_same_weights(mine):
    add_metrics(mine, [measured(mine, value=0.1), measured(mine, stage="res4", value=0.2)])
    make_artifact(mine, metrics=[metric(value=0.3)])
    assert [entry["value"] for entry in read_artifact(mine).metrics] == [0.3, 0.2]
    card = (mine / "README.md").read_text()
    assert "| 20.0 |" in card
    assert "| 10.0 |" not in card
    make_artifact(mine, backbone=build_backbone("test_resnet"), metrics=[])
    assert read_artifact(mine).metrics == []


@pytest.mark.parametrize("text", ["{", "[3]", "{}"])
def test_damaged_figures_do_not_hinder_a_new_artifact(mine, text):
    (mine / "metrics.json").write_text(text)
    make_artifact(mine)
    assert [entry["value"] for entry in read_artifact(mine).metrics] == [0.4321]


def test_the_heads_come_back_and_are_checked(artifact, mine, tmp_path):
    assert load_heads(mine) is None
    assert "heads_sha256" not in read_artifact(mine).config["ladder_hub"]
    heads = load_heads(artifact)
    assert heads.keys() == HEADS.keys()
    assert all(torch.equal(heads[name], tensor) for name, tensor in HEADS.items())
    published = file_sha256(artifact / "ladder_heads.safetensors")
    assert read_artifact(artifact).config["ladder_hub"]["heads_sha256"] == published
    copy = shutil.copytree(artifact, tmp_path / "copy")
    path = copy / "ladder_heads.safetensors"
    save_canonical({"online.projectors.res5.weight": torch.zeros(2, 3)}, path)
    with pytest.raises(ArtifactError) as error:
        load_heads(copy)
    assert str(error.value) == (
        f"{path}: not the published heads: sha256 {file_sha256(path)[:16]}…, published {published[:16]}…; "
        "fetch them again"
    )


def test_heads_that_nobody_recorded_are_still_read(artifact, tmp_path):
    copy = shutil.copytree(artifact, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    del config["ladder_hub"]["heads_sha256"]
    (copy / "config.json").write_text(json.dumps(config))
    assert load_heads(copy).keys() == load_heads(artifact).keys()


@pytest.mark.parametrize(
    ("name", "loss"),
    [("metrics.json", "the figures were not kept"), ("README.md", "the card lacks the new figures")],
)
def test_a_folder_that_cannot_be_written_is_one_line(mine, monkeypatch, name, loss):
    def write(path, chunks):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(changing, "write_whole", write)
    with pytest.raises(ArtifactError) as error:
        add_metrics(mine, [measured(mine)])
    assert str(error.value) == f"{mine / name} can't be written (Permission denied); {loss}"


def measured(folder, **changes):
    return metric(weights=read_artifact(folder).config["ladder_hub"]["digest"], **changes)


def test_metrics_replace_their_own_kind_and_keep_the_others(mine):
    other_data = {"train": FINGERPRINT, "val": {**FINGERPRINT, "name": "other", "digest": "ee" * 32}}
    add_metrics(mine, [measured(mine, value=0.1), measured(mine, stage="res4", value=0.2)])
    add_metrics(mine, [measured(mine, value=0.3), measured(mine, value=0.4, data=other_data)])
    add_metrics(mine, [measured(mine, protocol="linear:sgd-coslr-100e", value=0.5)])
    add_metrics(mine, [measured(mine, metric="top5", value=0.6)])
    assert [entry["value"] for entry in read_artifact(mine).metrics] == [0.3, 0.2, 0.4, 0.5, 0.6]
    card = (mine / "README.md").read_text()
    assert "| 30.0 |" in card
    assert "| 10.0 |" not in card
    assert create_model(str(mine)).load_receipt.verified


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, partial(ProcessPoolExecutor, mp_context=CONTEXT)])
def test_figures_that_end_at_one_time_are_all_kept(mine, pool):
    entries = [measured(mine, protocol=f"knn:k{k}-t0.07") for k in range(12)]
    with pool(max_workers=4) as workers:
        list(workers.map(add_metrics, [mine] * 12, [[entry] for entry in entries]))
    assert {entry["protocol"] for entry in read_artifact(mine).metrics} == {entry["protocol"] for entry in entries}
    assert "`knn:k11-t0.07`" in (mine / "README.md").read_text()
    assert [path.name for path in mine.parent.iterdir()] == ["artifact"]


def test_a_folder_that_somebody_holds_is_waited_for_and_no_longer_than_that(mine):
    waited = []
    with sole_writer(mine), ThreadPoolExecutor(1) as other:
        waiting = other.submit(lambda: sole_writer(mine, patience=0.1).__enter__())
        waited.append(str(waiting.exception()))
    assert waited == [f"{mine} has been held by another writer for 0.1 s; try again"]
    with sole_writer(mine, patience=0.1):
        pass


def test_where_nothing_can_be_written_beside_the_folder_it_holds_itself(mine, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != mine.parent)
    with sole_writer(mine):
        assert (mine / ".lock").is_file()
    add_metrics(mine, [measured(mine)])
    assert sorted(path.name for path in mine.iterdir()) == [name for name in FILES if name != HEADS_FILE]


def test_figures_of_other_weights_are_refused(mine):
    digest = read_artifact(mine).config["ladder_hub"]["digest"][:12]
    before = (mine / "metrics.json").read_text()
    with pytest.raises(ArtifactError) as error:
        add_metrics(mine, [measured(mine), metric(weights="0" * 64)])
    text = f"{mine}: knn:k20-t0.07 was measured on other weights (000000000000…, here {digest}…)"
    assert str(error.value) == text
    assert (mine / "metrics.json").read_text() == before
    with pytest.raises(ArtifactError, match="was measured on other weights"):
        make_artifact(mine, metrics=[metric(weights="0" * 64)])


def test_a_model_of_other_origin_takes_no_metrics(mine):
    (mine / "recipe.toml").unlink()
    with pytest.raises(ArtifactError) as error:
        add_metrics(mine, [measured(mine)])
    told = "no recipe.toml; figures are kept for models that ladder-hub trained or imported"
    assert str(error.value) == f"{mine}: {told}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics.json", "{", "is not JSON: "),
        ("metrics.json", "{}", "a list was expected"),
        ("provenance.json", "[]", "a table was expected"),
    ],
)
def test_a_damaged_file_is_named(mine, name, text, message):
    (mine / name).write_text(text)
    with pytest.raises(ArtifactError) as error:
        read_artifact(mine)
    assert str(mine / name) in str(error.value)
    assert message in str(error.value)


def test_no_artifact_is_one_line(tmp_path):
    with pytest.raises(ModelError) as error:
        read_artifact(tmp_path / "gone")
    assert str(error.value) == f"no folder {tmp_path}/gone; a model on the Hub is written hf-hub:org/name"


def test_others_load_it_bit_for_bit_and_every_snippet_of_the_card_runs(artifact, tmp_path):
    """timm, transformers and segmentation_models_pytorch, in a process that has not seen ladder_hub."""
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    model = create_model(str(artifact), features_only=True).eval()
    with torch.no_grad():
        torch.save([images, *model(images)], tmp_path / "expected.pt")
    snippets = re.findall(r"```python\n(.*?)```", (artifact / "README.md").read_text(), flags=re.DOTALL)
    assert len(snippets) == 4
    (tmp_path / "snippets.py").write_text("\n".join(snippets).replace("FOLDER", str(artifact)))
    code = """
import sys, torch, timm
folder = sys.argv[1]
images, *expected = torch.load(sys.argv[2])
with torch.no_grad():
    stages = {"features_only": True, "out_indices": (1, 2, 3, 4)}
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, **stages)
    assert all(map(torch.equal, model.eval()(images), expected))
    assert timm.data.resolve_model_data_config(model)["crop_pct"] == 1.0
    from transformers import AutoModel
    other = AutoModel.from_pretrained(folder).eval()
    assert torch.equal(other(images).last_hidden_state, expected[-1])
    import segmentation_models_pytorch as smp
    encoder = smp.encoders.get_encoder(f"tu-local-dir:{folder}", weights=True).eval()
    assert all(map(torch.equal, encoder(images)[-4:], expected))
assert "ladder_hub" not in sys.modules
exec(open("snippets.py").read())
assert "ladder_hub" in sys.modules
print("equal")
"""
    output = python(code, artifact, tmp_path / "expected.pt", cwd=tmp_path)
    assert output.splitlines()[-1] == "equal"


def test_an_architecture_of_another_family_publishes_too(tmp_path):
    recipe = load_recipe("tiny64_byol", ["model.backbone=convnext_atto", "data.train=x"])
    folder = make_artifact(tmp_path / "artifact", recipe=recipe, metrics=[], backbone=build_backbone("convnext_atto"))
    pyramid = create_model(str(folder), features_only=True)
    assert pyramid.feature_info.reduction() == [4, 8, 16, 32]
    assert pyramid.load_receipt.verified


def test_log_lines_are_not_needed(tmp_path):
    write_artifact(
        tmp_path / "artifact",
        backbone=build_backbone("test_resnet"),
        recipe=RECIPE,
        provenance={},
        metrics=[],
        log=log_lines([]),
    )
    assert read_artifact(tmp_path).metrics == []
