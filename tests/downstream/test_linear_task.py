"""`eval linear` from end to end: figures, what they are measured on, interruption, several processes, odd data."""

import io
import json
import re
import signal
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_factory import make_artifact
from PIL import Image
from processes import Processes, command, torchrun_variables
from rich.console import Console
from torch.nn import functional as F

from ladder_hub.cli.tables import show_metrics
from ladder_hub.data.shapes import CLASS_NAMES
from ladder_hub.downstream import features
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.downstream.linear import task as linear_task
from ladder_hub.downstream.linear.data import RowMaker
from ladder_hub.downstream.linear.task import eval_linear
from ladder_hub.downstream.metrics import wilson
from ladder_hub.errors import UserError
from ladder_hub.runtime.signals import Interrupted

QUIET = Console(quiet=True)
DATA = ["data.train=shapes:200", "data.val=shapes:100", "data.workers=0", "device=cpu"]
SIZE = ["image_size=32", "crop_pct=1.0"]
CLASSES = len(CLASS_NAMES)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path / "cache"))


def probe(out: Path, *overrides: str, recipe: str = "cached_100e", model: str = "random:test_resnet", **more):
    keys = [*DATA, *SIZE, "epochs=3", "batch_size=50", f"out={out}", *overrides]
    return eval_linear(model, recipe, keys, console=QUIET, **more)


def top1(metrics: list[dict], stage: str = "res5") -> dict:
    (found,) = [entry for entry in metrics if (entry["metric"], entry["stage"]) == ("top1", stage)]
    return found


@pytest.fixture
def oracle(monkeypatch) -> None:
    """Features that tell the class: the first channels of every map hold it, one-hot."""
    truth = iter(())

    def evaluation_batches(source, *, indices, batch_size, **keys):
        nonlocal truth
        parts = [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
        truth = iter([source.labels[part] for part in parts])
        return ((torch.zeros(len(part), 3, 8, 8, dtype=torch.uint8), None, []) for part in parts)

    def pyramid(backbone, images, stages):
        classes = torch.from_numpy(next(truth)) if len(images) != 1 else torch.zeros(1, dtype=torch.int64)
        return {stage: F.one_hot(classes, CLASSES).float()[:, :, None, None] for stage in stages}

    monkeypatch.setattr(features, "evaluation_batches", evaluation_batches)
    monkeypatch.setattr(features, "pyramid", pyramid)


def test_an_oracle_scores_everything(oracle: None, tmp_path: Path) -> None:
    metrics = probe(tmp_path / "run", "epochs=40").metrics
    assert [entry["value"] for entry in metrics] == [1.0] * 8
    assert {entry["stage"] for entry in metrics} == {"res2", "res3", "res4", "res5"}
    assert top1(metrics)["ci95"] == list(wilson(1.0, 100))
    found = eval_knn("random:test_resnet", [*DATA, "stage=all", "k=[1,5]"], console=QUIET)
    assert len(found) == 2 * 2 * 4
    assert {entry["value"] for entry in found} == {1.0}


def test_shuffled_labels_score_chance(oracle: None, tmp_path: Path, monkeypatch) -> None:
    """The features still tell the class, and what was taught is another thing."""
    rng = np.random.default_rng(0)

    def shuffled(table, stages, labels, held):
        return RowMaker(table, stages, rng.permutation(labels), held)

    monkeypatch.setattr(linear_task, "RowMaker", shuffled)
    found = top1(probe(tmp_path / "run", "epochs=10").metrics)
    low, high = wilson(found["value"], found["n"], z=4)
    assert low < 1 / CLASSES < high


@pytest.mark.parametrize("recipe", ["cached_100e", "sgd_100e"])
def test_figures_and_what_they_tell(recipe: str, tmp_path: Path) -> None:
    run = probe(tmp_path / "run", "stage=all", recipe=recipe)
    assert len(run.metrics) == 8
    found = top1(run.metrics)
    assert found["n"] == 100
    assert found["ci95"][0] <= found["value"] <= found["ci95"][1]
    assert found["lr"] in run.recipe.optim.lr
    assert found["protocol"].startswith(run.recipe.protocol + ", changed: ")
    assert found["data"]["train"]["count"] == 200
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == run.metrics
    assert (tmp_path / "run" / "recipe.toml").is_file()


def test_the_multi_head_probe_and_lars_run(tmp_path: Path) -> None:
    assert len(probe(tmp_path / "mhead", "cache=true", recipe="stages_mhead").metrics) == 8
    assert len(probe(tmp_path / "lars", "cache=true", recipe="lars_90e").metrics) == 2


def test_an_artifact_keeps_its_figures_and_differs_from_random(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "artifact", metrics=[])
    own = probe(tmp_path / "own", model=str(artifact)).metrics
    assert json.loads((artifact / "metrics.json").read_text()) == own
    assert "linear:cached-sgd-coslr-100e" in (artifact / "README.md").read_text()
    untrained = probe(tmp_path / "untrained", model=f"random:{artifact}").metrics
    assert top1(untrained)["weights"] != top1(own)["weights"]
    assert [entry["value"] for entry in untrained] != [entry["value"] for entry in own]


def test_knn_and_probe_share_one_pass(tmp_path: Path, monkeypatch) -> None:
    probe(tmp_path / "run")

    def no_pass(*_: object, **__: object) -> None:
        raise AssertionError("the images were read again")

    monkeypatch.setattr(features, "evaluation_batches", no_pass)
    found = eval_knn("random:test_resnet", [*DATA, *SIZE, "stage=all"], console=QUIET)
    changed = "changed: image_size=32 crop_pct=1"
    assert {entry["protocol"] for entry in found} == {f"knn:k{k}-t0.07, {changed}" for k in (20, 200)}
    assert probe(tmp_path / "again").metrics


def test_nothing_is_chosen_on_the_validation_images(tmp_path: Path) -> None:
    """Another set to be judged on leaves the classifiers and the chosen rates as they were."""
    one = probe(tmp_path / "one")
    other = probe(tmp_path / "other", "data.val=shapes:60")
    assert [entry["lr"] for entry in one.metrics] == [entry["lr"] for entry in other.metrics]
    weights = [torch.load(next((tmp_path / name / "checkpoints").glob("*.pt")))["network"] for name in ("one", "other")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("recipe", ["cached_100e", "sgd_100e"])
def test_interrupted_it_goes_on_to_the_same_figures(recipe: str, tmp_path: Path) -> None:
    whole = probe(tmp_path / "whole", recipe=recipe).metrics
    console = Console(quiet=True)

    def listens(line: str, **_: object) -> None:
        if re.search(r"step +4/12", line):
            signal.raise_signal(signal.SIGTERM)

    console.print = listens
    keys = [*DATA, *SIZE, "epochs=3", "batch_size=50", f"out={tmp_path / 'cut'}", "log.every=1"]
    told = r"stopped by SIGTERM at step \d+ of 12; go on with: ladder-hub eval linear random:test_resnet resume="
    with pytest.raises(Interrupted, match=told) as stop:
        eval_linear("random:test_resnet", recipe, keys, console=console)
    assert stop.value.exit_status == 75
    resumed = eval_linear("random:test_resnet", overrides=[], resume=tmp_path / "cut", console=QUIET).metrics
    assert [entry["value"] for entry in resumed] == [entry["value"] for entry in whole]


@pytest.mark.skipif(sys.platform != "linux", reason="torchrun's variables and fork")
@pytest.mark.parametrize("words", [["recipe=cached_100e"], ["recipe=sgd_100e"], ["recipe=stages_mhead", "cache=true"]])
def test_two_processes_find_what_one_finds(words: list[str], tmp_path: Path) -> None:
    keys = [*words, *DATA, *SIZE, "epochs=2", "batch_size=50", "timeout=60"]
    found = {}
    for size in (1, 2):
        variables = torchrun_variables(size) if size > 1 else [{}]
        cache = {"LADDER_HUB_CACHE": str(tmp_path / f"cache{size}")}
        ran = Processes(
            command, "eval", "linear", "random:test_resnet", *keys, f"out={tmp_path / str(size)}",
            variables=[own | cache for own in variables], folder=tmp_path,
        )  # fmt: skip
        ran.results()
        assert ran.statuses == [0] * size, ran.said
        found[size] = json.loads((tmp_path / str(size) / "metrics.json").read_text())
    assert [entry["lr"] for entry in found[1]] == [entry["lr"] for entry in found[2]]
    for one, two in zip(found[1], found[2], strict=True):
        assert two["value"] == pytest.approx(one["value"], abs=0.011)  # sums in another order move one image at most


def shard(path: Path, labels: list[int]) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, label in enumerate(labels):
            image = io.BytesIO()
            Image.new("RGB", (40, 40), (9, 9, 9)).save(image, "PNG")
            for ending, content in (("png", image.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{number}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        ("random:test_resnet", ["data.val="], "data.val is missing"),
        ("random:test_resnet", ["data.train=ONE.tar", "data.val=ONE.tar"], "has one class: there is nothing to tell"),
        ("random:test_resnet", ["data.train=EMPTY"], "no image"),
        ("random:test_resnet", ["data.train=PLAIN"], "has no labels"),
        ("random:test_resnet", ["data.train=TWO.tar", "data.val=ONE.tar"], None),
        ("random:test_resnet", ["data.train=ONE.tar", "data.val=TWO.tar"], "different classes (1 classes in train, 2"),
        ("random:test_resnet", ["epoch=3"], "unknown key 'epoch'; did you mean epochs?"),
        ("random:resnet5o", [], "did you mean"),
    ],
)
def test_one_line_says_what_is_wrong(model: str, overrides: list[str], message: str | None, tmp_path: Path) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "PLAIN").mkdir()
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "PLAIN" / "1.png")
    shard(tmp_path / "ONE.tar", [0, 0])
    shard(tmp_path / "TWO.tar", [0, 1])
    words = [re.sub("=([A-Z])", rf"={tmp_path}/\1", word) for word in overrides]
    if message is None:  # a val that lacks a class is no error
        assert top1(probe(tmp_path / "run", *words, model=model).metrics)["n"] == 2
        return
    with pytest.raises(UserError, match=re.escape(message)) as error:
        probe(tmp_path / "run", *words, model=model)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def two_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two classes of noise; three of the eight images of val are those of train under other names."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 4)):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{number}.png")
    for number in range(3):
        data = (tmp_path / "train" / "a" / f"{number}.png").read_bytes()
        (tmp_path / "val" / "a" / f"{number}.png").write_bytes(data)
    return tmp_path / "train", tmp_path / "val"


def test_images_of_val_that_are_in_train_stand_beside_the_figure(two_folders, tmp_path: Path, capsys) -> None:
    train, val = two_folders
    said = Console(record=True, width=300, file=io.StringIO())
    keys = [f"data.train={train}", f"data.val={val}", "data.workers=0", "device=cpu", *SIZE]
    found = eval_knn("random:test_resnet", [*keys, "k=1"], console=said)
    assert [entry["overlap"] for entry in found] == [3]  # of so few classes there is no top-5
    assert "overlap: 3 of the 8 images of data.val are in data.train too, byte for byte" in said.export_text()
    show_metrics(found)
    assert "8 (3 in train)" in capsys.readouterr().out
    run = eval_linear("random:test_resnet", "cached_100e", [*keys, "epochs=1", f"out={tmp_path / 'o'}"], console=QUIET)
    assert {entry["overlap"] for entry in run.metrics} == {3}
    (alone,) = {entry["overlap"] for entry in probe(tmp_path / "shapes", "epochs=1").metrics}
    assert alone == 0


def test_an_overlap_goes_onto_the_card(two_folders, tmp_path: Path) -> None:
    train, val = two_folders
    artifact = make_artifact(tmp_path / "artifact")
    eval_knn(str(artifact), [f"data.train={train}", f"data.val={val}", "data.workers=0", "k=1"], console=QUIET)
    row = next(line for line in (artifact / "README.md").read_text().splitlines() if "`knn:k1-" in line)
    assert "| 8, 3 of them in the training images |" in row
