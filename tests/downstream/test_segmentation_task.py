"""`eval segment` as a whole, on squares and discs: it learns, goes on to the same bits, also in two processes."""

import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squares
import torch
from artifact_factory import make_artifact
from PIL import Image
from processes import Processes, torchrun_variables
from rich.console import Console
from torch import Tensor

from ladder_hub.artifact.reading import read_artifact
from ladder_hub.data.pairs import open_pairs
from ladder_hub.downstream.finetune import Finetuned, Judge
from ladder_hub.downstream.finetune.state import FinetuneState
from ladder_hub.downstream.segmentation.confusion import mean_iou
from ladder_hub.downstream.segmentation.data import Judged, TrainMaker, ValMaker
from ladder_hub.downstream.segmentation.predict import judged
from ladder_hub.downstream.segmentation.settings import SegmentRecipe, read_recipe
from ladder_hub.downstream.segmentation.task import SegmentTask, eval_segment
from ladder_hub.errors import RunError, UserError
from ladder_hub.progress import Display
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.runtime.distributed import World, open_world

SMALL = (
    "steps=6",
    "batch_size=4",
    "data.size=[64, 40]",
    "data.workers=0",
    "views.crop=32",
    "fcn.channels=8",
    "log.every=2",
    "log.checkpoint=3",
    "device=cpu",
    "pictures=2",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("squares")
    squares.write_shard(root / "train.tar", squares.members(9))
    squares.write_shard(root / "val.tar", squares.members(5, first=100, palette=True))
    return root


def run(data: Path, out: Path, *overrides: str, model: str = "random:test_resnet", resume: str | None = None) -> Any:
    torch.set_num_threads(1)
    where = [f"data.train={data}/train.tar", f"data.val={data}/val.tar", f"out={out}"]
    keys = [*SMALL, *where, "data.classes=3", *overrides]
    return eval_segment(model, "voc_small", keys, resume=resume, console=Console(quiet=True))


def weights(folder: Path) -> dict[str, Tensor]:
    return load_checkpoint(newest_checkpoint(folder / "checkpoints"))["network"]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_figures_results_and_pictures(data: Path, tmp_path: Path) -> None:
    done: Finetuned[SegmentRecipe] = run(data, tmp_path / "run")
    miou, accuracy = done.metrics
    assert [entry["metric"] for entry in done.metrics] == ["miou", "pixel_accuracy"]
    assert miou["protocol"].startswith("seg:fcn-d8-voc-small, changed: ")
    assert "steps=6" in miou["protocol"]
    assert "data.classes=3" in miou["protocol"]  # voc-small stands for 21
    assert miou["n"] == accuracy["n"] == 5
    assert 0 <= miou["ci95"][0] <= miou["value"] <= miou["ci95"][1] <= 1
    assert (miou["data"]["train"]["count"], miou["data"]["val"]["classes"]) == (9, 3)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["iou"] == miou["iou"]
    known = [value for value in results["iou"].values() if value is not None]
    assert miou["value"] == pytest.approx(sum(known) / len(known))
    matrix = torch.tensor(results["confusion"])
    assert accuracy["value"] == pytest.approx(float(matrix.diagonal().sum() / matrix.sum()))
    _, val = open_pairs(f"{data}/train.tar", f"{data}/val.tar", classes=3)
    assert matrix.sum() == sum(int((val.pair(index).mask != 255).sum()) for index in range(5))
    assert sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir()) == ["00000.png", "00004.png"]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["lr"] for record in log] == pytest.approx(
        [done.recipe.optim.lr * done.recipe.rate(step) for step in (1, 3, 5)], rel=1e-9
    )


def test_it_learns(data: Path, tmp_path: Path) -> None:
    """Long enough for BatchNorm's averages; squares are told from discs by their shade."""
    done = run(
        data, tmp_path / "run", "steps=60", "optim.lr=0.05", "fcn.channels=16", "log.checkpoint=60", "pictures=0"
    )
    assert done.metrics[0]["value"] > 0.5


def stopped(data: Path, folder: Path, at: int) -> None:
    """A run that gets SIGTERM before a step."""
    advance = FinetuneState.advance

    def told(state: FinetuneState, batch: Any) -> Any:
        if state.step == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(state, batch)

    FinetuneState.advance = told
    try:
        run(data, folder)
    except RunError as error:
        print(f"ladder-hub: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def test_stopped_and_resumed_is_the_same_run_to_the_bit(data: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(data, whole)
    process = Processes(stopped, data, parts, 3, variables=[{}], folder=tmp_path)
    process.results()
    assert process.statuses == [75]
    assert f"go on with: ladder-hub eval segment random:test_resnet resume={parts}" in process.said[0]
    found = run(data, parts, resume="auto")
    assert same(weights(parts), weights(whole))
    assert found.metrics == expected.metrics
    with pytest.raises(UserError, match=r"can't change when a run goes on: model \(it was 'random:test_resnet'"):
        run(data, parts, model="random:resnet18", resume="auto")


def in_a_process(data: Path, folder: Path) -> Any:
    done = run(data, folder, "fcn.dropout=0.0", "pictures=0")
    return done and done.metrics


def test_two_processes_are_one(data: Path, tmp_path: Path) -> None:
    pair = Processes(in_a_process, data, tmp_path / "pair", variables=torchrun_variables(2), folder=tmp_path)
    first, second = pair.results()
    assert pair.statuses == [0, 0], pair.said
    assert second is None
    alone = in_a_process(data, tmp_path / "alone")
    ours, theirs = weights(tmp_path / "pair"), weights(tmp_path / "alone")
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-4) for name in theirs)
    totals = [
        sum(map(sum, json.loads((tmp_path / name / "results.json").read_text())["confusion"]))
        for name in ("pair", "alone")
    ]
    assert totals[0] == totals[1]
    assert first[0]["n"] == alone[0]["n"] == 5


def test_the_pretrained_weights_are_where_training_starts(data: Path, tmp_path: Path) -> None:
    """Without a step, every tensor of the backbone is the artifact's, and the figures go into the artifact."""
    artifact = make_artifact(tmp_path / "run" / "artifact")
    done = run(data, tmp_path / "out", "steps=0", model=str(artifact))
    task = SegmentTask(done.recipe, print)
    published = read_artifact(artifact)
    backbone = task.network.network.backbone.state_dict()
    other = SegmentTask(done.recipe.model_copy(update={"model": "random:test_resnet"}), print)
    strange = other.network.network.backbone.state_dict()
    from ladder_hub.models import create_model

    expected = create_model(str(artifact)).state_dict()
    assert same(backbone, expected)
    weights = [key for key in expected if expected[key].ndim > 1]
    assert all(not torch.equal(strange[key], expected[key]) for key in weights)
    assert done.metrics[0]["weights"] == published.config["ladder_hub"]["digest"]
    kept = [entry for entry in read_artifact(artifact).metrics if entry["metric"] == "miou"]
    assert [entry["value"] for entry in kept] == [done.metrics[0]["value"]]
    assert "miou" in (artifact / "README.md").read_text()


class Oracle:
    """Says the truth, and background where that is not known."""

    def classes(self, one: Judged) -> Tensor:
        return torch.where(one.mask == 255, 0, one.mask).long()


def test_an_oracle_scores_all_and_bad_pairs_are_left_out(data: Path, tmp_path: Path, capsys) -> None:
    files = squares.members(4)
    path = squares.write_shard(tmp_path / "val.tar", [*files[:3], ("s001.png", b"no PNG"), *files[4:]])
    _, val = open_pairs(f"{data}/train.tar", str(path), classes=3)
    with Display(Console()) as display:
        judge = Judge(World(), display, tmp_path, "float32")
        tally = judged(Oracle(), ValMaker(val, (64, 40)), judge, classes=3, workers=0)
    assert mean_iou(tally.total()) == 1
    assert len(tally.by_image) == 3
    assert "skipped val.tar:s001.jpg: the mask is no PNG, or damaged" in capsys.readouterr().out


def counted(data: Path, folder: Path) -> Any:
    """Rows and matrix of an oracle, over all processes."""
    _, val = open_pairs(f"{data}/train.tar", f"{folder}/two.tar", classes=3)
    with open_world(timeout=60) as world, Display(Console(quiet=True)) as display:
        tally = judged(
            Oracle(), ValMaker(val, (64, 40)), Judge(world, display, folder, "float32"), classes=3, workers=0
        )
    return tally.matrix.tolist(), tally.by_image.tolist()


def test_more_processes_than_images_count_each_image_once(data: Path, tmp_path: Path) -> None:
    squares.write_shard(tmp_path / "two.tar", squares.members(2))
    many = Processes(counted, data, tmp_path, variables=torchrun_variables(3), folder=tmp_path)
    found = many.results()
    assert many.statuses == [0] * 3, many.said
    assert found == [counted(data, tmp_path)] * 3


def test_a_bad_training_pair_is_replaced_and_named(tmp_path: Path) -> None:
    files = squares.members(4)
    path = squares.write_shard(tmp_path / "train.tar", [*files[:3], ("s001.png", b"no PNG"), *files[4:]])
    source, _ = open_pairs(str(path), str(path), classes=3)
    keys = read_recipe("voc_small", ["views.crop=32"])
    batch = TrainMaker(source, keys.views, (64, 40), 0).make([(0, 0), (0, 1), (0, 2)])
    assert batch.inputs[0].shape == (3, 3, 32, 32)
    assert batch.bad == [("train.tar:s001.jpg", "the mask is no PNG, or damaged")]
    ours, theirs = (maker.make([(1, 3)]).inputs for maker in [TrainMaker(source, keys.views, (64, 40), 0)] * 2)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.classes=2", r"label 2 in the mask, but the classes are 0 to 1"),
        ("data.train=gone.tar", "data.train=gone.tar does not exist"),
        ("data.classes=0", "how many classes there are is not known"),
        ("views.crop=huge", "views.crop"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(override: str, message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(data, tmp_path / "run", override)
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_be_dilated_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="output_stride"):
        run(data, tmp_path / "run", model="random:mobilenetv3_small_100")


def test_masks_are_told_before_anything_is_learned(data: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=400, file=io.StringIO())
    keys = [*SMALL, f"data.train={data}/train.tar", f"data.val={data}/val.tar", f"out={tmp_path / 'run'}"]
    eval_segment("random:test_resnet", "voc_small", [*keys, "data.classes=3", "steps=1"], console=console)
    told = console.export_text()
    assert re.search(r"data\.train: 9 masks: class 0 \d\d\.\d%, class \d \d+\.\d%, class \d \d+\.\d%; ignored", told)
    assert "data.val: 5 masks: class 0" in told


@pytest.fixture(scope="module")
def binary(tmp_path_factory) -> Path:
    """Pairs whose masks hold 0 and 255, as most tools write two classes."""
    root = squares.write_folder(tmp_path_factory.mktemp("binary"), 6)
    (root / "classes.txt").unlink()
    for path in (root / "masks").iterdir():
        mask = np.array(Image.open(path))
        Image.fromarray(np.where(mask == 1, 255, 0).astype(np.uint8)).save(path)
    return root


def test_binary_masks_of_0_and_255_give_no_figure_of_100_per_cent(binary: Path, tmp_path: Path) -> None:
    where = [f"data.train={binary}", f"data.val={binary}"]
    with pytest.raises(UserError, match=r"hold 0 and 255 alone.*data.values=\[0,255\]"):
        run(binary, tmp_path / "refused", *where, "data.classes=2")
    assert not (tmp_path / "refused").exists()
    done = run(binary, tmp_path / "mapped", *where, "data.classes=0", "data.values=[0,255]")
    assert "data.values=[0, 255]" in done.metrics[0]["protocol"]
    results = json.loads((tmp_path / "mapped" / "results.json").read_text())
    masks = [np.array(Image.open(path)) for path in (binary / "masks").iterdir()]
    true = [sum(int((mask == value).sum()) for mask in masks) for value in (0, 255)]
    assert [sum(row) for row in results["confusion"]] == true


def test_a_class_that_val_lacks_is_part_of_the_name_or_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.train=.*1 of the 4 classes are in none of its 9 masks \(class 3\)"):
        run(data, tmp_path / "refused", "data.classes=4")
    done = run(data, tmp_path / "run", "data.classes=4", "data.absent=allow")
    assert 'data.absent="allow"' in done.metrics[0]["protocol"]


def test_no_labelled_pixel_is_no_figure(tmp_path: Path) -> None:
    pairs = [(name, _all_ignored(content) if name.endswith("png") else content) for name, content in squares.members(2)]
    path = squares.write_shard(tmp_path / "ignored.tar", pairs)
    source, _ = open_pairs(str(path), str(path), classes=3)
    maker = ValMaker(source, (64, 40))
    with Display(Console(quiet=True)) as display:
        judge = Judge(World(), display, tmp_path, "float32")
        with pytest.raises(RunError, match="no pixel of .* has a class"):
            judged(Oracle(), maker, judge, classes=3, workers=0)


def _all_ignored(content: bytes) -> bytes:
    return squares.png(np.full_like(np.array(Image.open(io.BytesIO(content))), 255))


def test_images_in_both_sets_stand_beside_the_figure(data: Path, tmp_path: Path) -> None:
    squares.write_shard(tmp_path / "val.tar", squares.members(4, first=7))
    done = run(data, tmp_path / "run", f"data.val={tmp_path / 'val.tar'}", "steps=1")
    assert [entry["overlap"] for entry in done.metrics] == [2, 2]
