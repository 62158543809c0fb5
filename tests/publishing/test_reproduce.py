"""`reproduce`: the same again from a model's own recipe, and what is told where it is not."""

import re

import pytest
from artifact_factory import make_artifact, trained_backbone

from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.reading import read_artifact
from ladder_hub.cli import main
from ladder_hub.publishing.reproduce import ReproduceError, reproduce
from ladder_hub.recipe import load_recipe
from ladder_hub.training.run import train

SMALL = ["epochs=1", "batch_size=32", "micro_batch=32", "optim.warmup_epochs=0.5", "data.workers=0", "device=cpu"]
KEYS = [*SMALL, "data.train=shapes:64", "data.val=shapes:64"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("quickstart", [*KEYS, f"out={tmp_path_factory.mktemp('run') / 'mine'}"])


def test_the_same_bits_and_figures_come_out(run, tmp_path):
    checks = {check.name: check for check in reproduce(str(run.folder), [f"out={tmp_path / 'again'}"])}
    assert list(checks) == ["recipe", "images", "weights", "knn:k20-t0.07 res5 top1", "knn:k20-t0.07 res5 top5"]
    assert not any(check.problems for check in checks.values())
    assert checks["weights"].note == "the same to the last bit"
    top1 = re.match(r"([\d.]+) % measured, ([\d.]+) % on the card", checks["knn:k20-t0.07 res5 top1"].note)
    assert top1[1] == top1[2]


def test_another_experiment_a_figure_missed_and_one_not_measured(run, tmp_path, capsys):
    artifact = read_artifact(run.artifact)
    top1 = artifact.metrics[0]
    other = top1 | {"protocol": "linear:sgd-coslr-100e"}
    kept = (run.artifact / "metrics.json").read_bytes()
    add_metrics(run.artifact, [top1 | {"value": 0.99, "ci95": [0.98, 1.0]}, other])
    try:
        with pytest.raises(SystemExit) as status:
            main(["reproduce", str(run.folder), "seed=5", f"out={tmp_path / 'again'}"])
    finally:
        (run.artifact / "metrics.json").write_bytes(kept)
    assert status.value.code == 2
    said = capsys.readouterr()
    assert re.search(r"^weights +other bits: .* then, .* now$", said.out, re.M)
    assert re.search(r"^linear:sgd-coslr-100e +not measured by the run", said.out, re.M)
    assert re.search(r"^knn:k20-t0.07 res5 top1 .* 99.0 % on the card, 95 % interval 98.0 to 100.0$", said.out, re.M)
    last = said.err.splitlines()[-1]
    assert last.startswith(f"ladder-hub: {run.folder} did not come out again: recipe, knn:k20-t0.07 res5 top1")


def test_other_images_are_told(run, tmp_path):
    checks = {
        check.name: check for check in reproduce(str(run.folder), ["data.val=shapes:48", f"out={tmp_path / 'b'}"])
    }
    assert not checks["images"].problems
    assert "not to be compared: the card's is of other images" in checks["knn:k20-t0.07 res5 top1"].note


def test_only_what_has_a_recipe(tmp_path):
    recipe = load_recipe("tiny64_byol", ["model.backbone=test_resnet"])
    make_artifact(tmp_path / "a", recipe=recipe, metrics=[], backbone=trained_backbone())
    (tmp_path / "a" / "recipe.toml").unlink()
    with pytest.raises(ReproduceError, match="it has no recipe.toml to train it from"):
        reproduce(str(tmp_path / "a"))
