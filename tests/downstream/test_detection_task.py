"""`eval detect` from the command to what it leaves: whole, stopped and resumed, in two processes, and refused."""

import contextlib
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import coco_factory as factory
import numpy as np
import pytest
import torch
from artifact_factory import make_artifact
from processes import Processes, command, torchrun_variables
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console

from ladder_hub.cli import main
from ladder_hub.downstream.detection.settings import DetectRecipe, read_recipe
from ladder_hub.downstream.detection.task import eval_detect
from ladder_hub.downstream.finetune.state import FinetuneState
from ladder_hub.errors import UserError
from ladder_hub.recipe_files import names
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.runtime.log import read_log

TINY = ["epochs=2", "batch_size=2", "device=cpu", "data.workers=0", "log.every=1", "log.checkpoint=2", "pictures=2"]
TINY += ["detector.sizes=[64]", "detector.max_side=96", "detector.channels=16", "detector.rois=8", "optim.lr=0.005"]
TINY += ["detector.proposals=20", "detector.smallest_anchor=8", "detector.detections=10", "optim.warmup_steps=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six training images in a tar, four for validation."""
    folder = tmp_path_factory.mktemp("coco")
    train = factory.write(folder, factory.document(6), "train.json", tar=True)
    val = factory.write(folder / "val", factory.document(4, seed=1), "val.json")
    where = [f"data.images={folder / 'images.tar'}", f"data.val_images={folder / 'val' / 'images'}"]
    return [f"data.train={train}", f"data.val={val}", *where]


def words(data: list[str], out: Path, *more: str) -> list[str]:
    return ["eval", "detect", "random:test_resnet", "recipe=street4", *data, *TINY, f"out={out}", *more]


@pytest.fixture(scope="module")
def whole(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps, by the command."""
    out = tmp_path_factory.mktemp("whole") / "run"
    process = Processes(command, *words(data, out), variables=[{}], folder=out.parent)
    process.results()
    assert process.statuses == [0], process.said
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(newest_checkpoint(out / "checkpoints"))["network"]


def value(entries: list[dict[str, Any]], metric: str) -> float:
    return next(entry["value"] for entry in entries if entry["metric"] == metric)


def test_what_a_run_leaves(whole: Path, data: list[str]) -> None:
    assert sorted(path.name for path in whole.iterdir() if not path.name.startswith((".", "events"))) == [
        "checkpoints",
        "log.jsonl",
        "metrics.json",
        "pictures",
        "recipe.toml",
        "results.json",
    ]
    assert len(list((whole / "pictures").glob("*.png"))) == 2
    records = read_log(whole)
    assert [record["step"] for record in records] == list(range(1, 7))
    assert records[0]["losses"].keys() == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    entries = json.loads((whole / "metrics.json").read_text())
    assert {entry["metric"] for entry in entries} >= {"box_ap", "box_ap50", "box_ap75", "mask_ap"}
    assert {entry["n"] for entry in entries} == {4}
    assert all(0 <= entry["value"] <= 1 for entry in entries)
    assert entries[0]["protocol"].startswith("det:mask-rcnn-fpn-street4, changed: batch_size=2 epochs=2 ")
    assert entries[0]["data"]["train"]["digest"] != entries[0]["data"]["val"]["digest"]


def test_the_figures_are_those_of_pycocotools_on_the_results_file(whole: Path, data: list[str]) -> None:
    entries = json.loads((whole / "metrics.json").read_text())
    results = json.loads((whole / "results.json").read_text())
    assert results  # a network at random finds something
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(data[1].partition("=")[2])
        for kind, name in (("bbox", "box_ap"), ("segm", "mask_ap")):
            found = COCOeval(truth, truth.loadRes(str(whole / "results.json")), kind)
            found.params.maxDets = [1, 10, 10]
            found.evaluate()
            found.accumulate()
            precision = found.eval["precision"][..., 0, 2]
            assert value(entries, name) == pytest.approx(precision[precision > -1].mean(), abs=1e-6)


def stopped(step: int, *arguments: str) -> None:
    """The command, which gets SIGTERM before a step."""
    advance = FinetuneState.advance

    def told(state: FinetuneState, batch: Any) -> Any:
        if state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(state, batch)

    FinetuneState.advance = told
    command(*arguments)


def test_stopped_and_resumed_is_the_same_run_to_the_bit(whole: Path, data: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = Processes(stopped, 2, *words(data, out), variables=[{}], folder=tmp_path)
    first.results()
    assert first.statuses == [75], first.said
    assert f"go on with: ladder-hub eval detect random:test_resnet resume={out}" in first.said[0]
    second = Processes(
        command, "eval", "detect", "random:test_resnet", f"resume={out}", variables=[{}], folder=tmp_path
    )
    second.results()
    assert second.statuses == [0], second.said
    ours, theirs = weights(out), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (out / "results.json").read_text() == (whole / "results.json").read_text()
    assert [r["losses"] for r in read_log(out)] == [r["losses"] for r in read_log(whole)]


def test_another_model_does_not_go_on_with_a_run(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["eval", "detect", "random:test_convnext", f"resume={whole}"])
    assert "model (it was 'random:test_resnet', now 'random:test_convnext')" in capsys.readouterr().err


def test_two_processes_share_the_work(data: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    pair = Processes(command, *words(data, out), variables=torchrun_variables(2), folder=tmp_path)
    pair.results()
    assert pair.statuses == [0, 0], pair.said
    assert pair.said[1] == ""
    entries = json.loads((out / "metrics.json").read_text())
    assert {entry["n"] for entry in entries} == {4}
    seen = {row["image_id"] for row in json.loads((out / "results.json").read_text())}
    assert seen <= {100, 101, 102, 103}
    assert [record["step"] for record in read_log(out)] == list(range(1, 7))


def test_figures_go_into_the_artifact_that_was_measured(data: list[str], tmp_path: Path) -> None:
    folder = make_artifact(tmp_path / "artifact")
    run = eval_detect(
        str(folder), "street4", [*data, *TINY, "epochs=1", f"out={tmp_path / 'run'}"], console=Console(quiet=True)
    )
    kept = json.loads((folder / "metrics.json").read_text())
    assert value(kept, "box_ap") == value(run.metrics, "box_ap")
    assert "det:mask-rcnn-fpn-street4" in (folder / "README.md").read_text()


def test_a_model_in_the_run_starts_from_the_artifact(data: list[str], tmp_path: Path) -> None:
    """The first step's losses differ from those of a network at random: other weights were in it."""
    folder, losses = make_artifact(tmp_path / "artifact"), []
    for name, model in (("a", str(folder)), ("b", "random:test_resnet")):
        keys = [*data, *TINY, "epochs=1", f"out={tmp_path / name}"]
        eval_detect(model, "street4", keys, console=Console(quiet=True))
        losses.append(read_log(tmp_path / name)[0]["losses"])
    assert losses[0]["loss_objectness"] != losses[1]["loss_objectness"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["data.train="], "data.train is empty: give a COCO JSON"),
        (["data.images="], "data.images is empty"),
        (["data.val_images=/nowhere"], "data.val_images=/nowhere is neither a folder nor a .tar"),
        (["data.trian=x"], "unknown key 'data.trian'; did you mean data.train?"),
        (["detector.sizes=[64,640]"], "detector.max_side: 96 is below the test's short side, 640"),
        (["recipe=coco"], "no recipe 'coco'; did you mean coco_1x?"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    change: list[str], message: str, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words(data, tmp_path / "run"), *change])
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_shipped_recipes_and_their_protocols() -> None:
    assert names("detect") == ["coco_1x", "nuclei", "street4"]
    for name in names("detect"):
        recipe = read_recipe(name)
        assert recipe.name == name
        assert recipe.published_protocol == recipe.protocol
        assert read_recipe(name, ["seed=3", "data.train=x", "device=cpu"]).published_protocol == recipe.protocol
    changed = read_recipe("coco_1x", ["batch_size=8", "optim.lr=0.01"])
    assert changed.published_protocol == "det:mask-rcnn-fpn-1x, changed: batch_size=8 optim.lr=0.01"


def test_the_papers_schedule() -> None:
    """12 epochs of 117,266 images in batches of 16; 1000 steps up from a thousandth, a tenth after 8 and 11 epochs."""
    from ladder_hub.downstream.detection.task import DetectTask

    recipe: DetectRecipe = read_recipe("coco_1x")
    task = object.__new__(DetectTask)
    task._keys, task._epoch_steps = recipe, 7330
    assert task.rate(0) == pytest.approx(0.001)
    assert task.rate(500) == pytest.approx(0.5005)
    assert [task.rate(step) for step in (1000, 8 * 7330 - 1)] == [1, 1]
    assert [task.rate(step) for step in (8 * 7330, 11 * 7330 - 1)] == pytest.approx([0.1, 0.1])
    assert task.rate(11 * 7330) == pytest.approx(0.01)
    assert (recipe.optim.lr, recipe.batch_size, recipe.epochs, recipe.optim.weight_decay) == (0.02, 16, 12, 1e-4)


@pytest.mark.real
def test_nothing_of_the_real_sets_is_left_out(real_data: Path) -> None:
    from ladder_hub.downstream.detection.coco_images import CocoImages
    from ladder_hub.downstream.detection.coco_reader import read_coco

    for name in ("coco-mini/street4_train", "coco-mini/instances80_val", "nuclei/instances_train"):
        path = real_data / f"{name}.json"
        found = read_coco(str(path), key="data.train")
        images = CocoImages(str(path.parent / "images.tar"), found, key="data.images")
        assert images.image(3).shape[1:] == tuple(np.asarray(found.sizes[3]).tolist())


def test_images_that_cannot_be_decoded_are_left_out_of_the_figures(data: list[str], tmp_path: Path) -> None:
    val = factory.write(tmp_path / "val", factory.document(4, seed=1), "val.json")
    (tmp_path / "val" / "images" / "0.a.png").write_bytes(b"no image")
    keys = [*data, *TINY, "epochs=1", f"data.val={val}", f"data.val_images={val.parent / 'images'}"]
    run = eval_detect("random:test_resnet", "street4", [*keys, f"out={tmp_path / 'run'}"], console=Console(quiet=True))
    assert {entry["n"] for entry in run.metrics} == {3}
    assert 100 not in {row["image_id"] for row in json.loads((run.folder / "results.json").read_text())}
    assert sorted(path.name for path in (run.folder / "pictures").iterdir()) == ["101.png", "102.png"]


def test_what_is_annotated_is_told_and_what_is_in_both_sets_stands_beside_the_figures(tmp_path: Path) -> None:
    """Two of the four images of val are in train under other names; a category of val has no box in train."""
    train = factory.document(6, empty=2)
    train["annotations"] = [row | {"category_id": 7} for row in train["annotations"]]
    train["annotations"][0] |= {"iscrowd": 1}
    train["annotations"][1] |= {"bbox": [-40, 0, 60, 20]}
    val = factory.document(4, seed=1)
    factory.write(tmp_path, train, "train.json")
    factory.write(tmp_path / "val", val, "val.json")
    for number in (2, 3):
        data = (tmp_path / "images" / f"{number}.a.png").read_bytes()
        (tmp_path / "val" / "images" / f"{number}.a.png").write_bytes(data)
    where = [f"data.images={tmp_path / 'images'}", f"data.val_images={tmp_path / 'val' / 'images'}"]
    keys = [f"data.train={tmp_path / 'train.json'}", f"data.val={tmp_path / 'val' / 'val.json'}", *where, *TINY]
    said = Console(record=True, width=300, file=io.StringIO())
    done = eval_detect("random:test_resnet", "street4", [*keys, "epochs=1", f"out={tmp_path / 'run'}"], console=said)
    assert {entry["overlap"] for entry in done.metrics} == {2}
    told = said.export_text()
    assert "data.train: 6 images (2 without a box), 7 boxes of 2 categories, 1 crowds" in told
    assert "no box of 1 categories (blue); left out or cut: 1 cut at the edge of their image" in told
    assert "1 categories of data.val have no box in data.train (blue)" in told
    assert "data.val and data.train overlap: 2 of the 4 images" in told


def test_crowds_alone_are_nothing_to_find(tmp_path: Path) -> None:
    train, val = factory.document(3), factory.document(2, seed=1)
    val["annotations"] = [row | {"iscrowd": 1, "segmentation": row["segmentation"]} for row in val["annotations"]]
    factory.write(tmp_path, train, "train.json")
    factory.write(tmp_path / "val", val, "val.json")
    where = [f"data.images={tmp_path / 'images'}", f"data.val_images={tmp_path / 'val' / 'images'}"]
    keys = [f"data.train={tmp_path / 'train.json'}", f"data.val={tmp_path / 'val' / 'val.json'}", *where, *TINY]
    with pytest.raises(UserError, match="val.json: all of its boxes are crowds"):
        eval_detect("random:test_resnet", "street4", [*keys, f"out={tmp_path / 'run'}"], console=Console(quiet=True))
    assert not (tmp_path / "run").exists()
