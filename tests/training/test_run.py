"""Whole runs on a small network: what they leave, the same bits twice, and every way they refuse or stop."""

import io
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

import ladder_hub
from ladder_hub.artifact.writing import write_artifact
from ladder_hub.backbone import build_backbone
from ladder_hub.errors import RunError, UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint
from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.log import read_log
from ladder_hub.training.inputs import open_inputs, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.run import train
from ladder_hub.training.state import TrainState, build_learner

SMALL = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "data.image_size=32", "batch_size=8"]
SMALL += ["micro_batch=4", "data.train=shapes:32", "data.val=shapes:16", "epochs=2", "optim.warmup_epochs=1"]
SMALL += ["data.workers=0", "log.every=1", "knn.every=1", "knn.bank=16", "device=cpu", "precision=float32"]


def run(out: Path, *overrides: str, resume: Path | None = None, said: io.StringIO | None = None):
    console = Console(file=said or io.StringIO(), width=200)
    if resume:
        return train(resume=resume, overrides=overrides, console=console)
    return train("tiny64_ladder_dense", [*SMALL, f"out={out}", *overrides], console=console)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "artifact" / "model.safetensors")


def deterministic(folder: Path) -> list[dict]:
    """The log without its two figures that depend on the clock."""
    return [{k: v for k, v in r.items() if k not in ("samples_per_second", "data_wait")} for r in read_log(folder)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    run(out)
    return out


def test_what_a_run_leaves(finished: Path) -> None:
    assert {path.name for path in finished.iterdir() if not path.name.startswith("events.")} == {
        "recipe.toml",
        "log.jsonl",
        "checkpoints",
        "artifact",
        ".lock",
    }
    assert any(path.name.startswith("events.") for path in finished.iterdir())
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == [
        f"step_{step:09d}.{ending}" for step in (4, 8) for ending in ("pt", "sha256")
    ]
    assert {path.name for path in (finished / "artifact").iterdir()} == {
        "model.safetensors",
        "ladder_heads.safetensors",
        "config.json",
        "README.md",
        "recipe.toml",
        "provenance.json",
        "metrics.json",
        "curves.png",
    }


def test_the_log_says_what_each_level_does(finished: Path) -> None:
    steps = [record for record in read_log(finished) if "losses" in record]
    assert [record["step"] for record in steps] == list(range(1, 9))
    assert [record["epoch"] for record in steps] == [0] * 4 + [1] * 4
    for record in steps:
        assert set(record["losses"]) == {"res2.dense", "res3.dense", "res4.global", "res5.global"}
        assert (
            set(record["std"])
            == set(record["rank"])
            == {f"res{k}.global" for k in range(2, 6)}
            | {
                "res2.dense",
                "res3.dense",
            }
        )
        weighted = sum(
            weight * record["losses"][name]
            for name, weight in zip(record["losses"], (1 / 16, 1 / 8, 1 / 4, 1), strict=True)
        )
        assert record["loss"] == pytest.approx(weighted, rel=1e-5)
    assert [record["epoch"] for record in read_log(finished) if "knn" in record] == [0]


def test_the_artifact_is_the_online_backbone_and_says_what_was_measured(finished: Path) -> None:
    newest = max((finished / "checkpoints").glob("*.pt"))
    state = torch.load(newest, weights_only=True)["learner"]
    for name, value in weights(finished).items():
        assert torch.equal(value, state[f"online.backbone.{name}"]), name
    metrics = json.loads((finished / "artifact" / "metrics.json").read_text())
    assert [(m["protocol"], m["metric"], m["n"]) for m in metrics] == [
        ("knn:k20-t0.07", "top1", 16),
        ("knn:k20-t0.07", "top5", 16),
    ]
    assert all(0 <= m["baseline"] <= 1 for m in metrics)
    provenance = json.loads((finished / "artifact" / "provenance.json").read_text())
    assert provenance["samples_seen"] == 64
    assert provenance["command"] == "ladder-hub train recipe=recipe.toml data.train=IMAGES data.val=IMAGES"
    assert provenance["data"]["count"] == 32
    model = ladder_hub.create_model(str(finished), features_only=True)
    assert [tuple(m.shape[2:]) for m in model.eval()(torch.zeros(1, 3, 64, 64))] == [(16, 16), (8, 8), (4, 4), (2, 2)]


def test_one_seed_gives_the_same_bits_and_workers_do_not_matter(finished: Path, tmp_path: Path) -> None:
    again = run(tmp_path / "again", "data.workers=2", "log.every=1").folder
    assert all(torch.equal(value, weights(finished)[name]) for name, value in weights(again).items())
    assert deterministic(again) == deterministic(finished)
    first, second = ((f / "artifact" / "model.safetensors").read_bytes() for f in (finished, again))
    assert first == second


def test_another_seed_gives_others(finished: Path, tmp_path: Path) -> None:
    other = run(tmp_path / "other", "seed=1", "data.val=").folder
    assert any(not torch.equal(value, weights(finished)[name]) for name, value in weights(other).items())


STOPPED = """
import os, signal, sys
from ladder_hub import cli
from ladder_hub.training.{module} import {owner}

act = {owner}.{method}

def stopping(self, *given, **named):
    if self.{step} == {at}:
        os.kill(os.getpid(), signal.SIGTERM)
    return act(self, *given, **named)

{owner}.{method} = stopping
cli.main(sys.argv[1:])
"""


def stopped(out: Path, *overrides: str, module: str, owner: str, method: str, step: str, at: int) -> str:
    """What a real process said that got SIGTERM from itself when `method` was called at a certain step."""
    code = STOPPED.format(module=module, owner=owner, method=method, step=step, at=at)
    words = ["train", "recipe=tiny64_ladder_dense", *SMALL, f"out={out}", *overrides]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    assert f"go on with: ladder-hub train resume={out}" in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_resumed_run_ends_in_the_same_bits(finished: Path, tmp_path: Path) -> None:
    """Asked to stop in the middle of the first epoch."""
    out = tmp_path / "stopped"
    assert "stopped by SIGTERM at step 3 of 8" in stopped(
        out, module="state", owner="TrainState", method="advance", step="step", at=2
    )
    run(out, "data.workers=2", resume=out)
    assert deterministic(out) == deterministic(finished)
    model = Path("artifact") / "model.safetensors"
    assert (out / model).read_bytes() == (finished / model).read_bytes()


def test_the_energy_of_a_run_is_that_of_all_its_parts(tmp_path: Path, monkeypatch) -> None:
    """The counter goes up by 10 J between any two looks; the first part looks three times, the second twice."""
    readings = itertools.count(1_000.0, 10.0)
    monkeypatch.setattr("ladder_hub.runtime.energy.counter", lambda device: next(readings))
    out = tmp_path / "mine"
    run(out)
    last = newest_checkpoint(out / "checkpoints")
    assert torch.load(last, weights_only=True)["joules"] == 20.0
    last.unlink()
    run(out, resume=out)
    assert json.loads((out / "artifact" / "provenance.json").read_text())["joules"] == 20.0


def test_a_checkpoint_from_before_energy_was_counted_goes_on(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "old"
    shutil.copytree(finished, out)
    newest_checkpoint(out / "checkpoints").unlink()
    older = newest_checkpoint(out / "checkpoints")
    state = load_checkpoint(older)
    save_checkpoint(out / "checkpoints", state["step"], {key: state[key] for key in state if key != "joules"})
    run(out, resume=out)
    assert json.loads((out / "artifact" / "provenance.json").read_text())["joules"] is None


def test_a_stop_during_a_measurement_loses_nothing(finished: Path, tmp_path: Path) -> None:
    """Also where no checkpoint was due before it."""
    out, keys = tmp_path / "stopped", ["log.checkpoint=5"]
    stopped(out, *keys, module="loop", owner="Loop", method="heed_signals", step="state.step", at=4)
    assert [path.name for path in (out / "checkpoints").glob("*.pt")] == ["step_000000004.pt"]
    run(out, resume=out)
    assert deterministic(out) == deterministic(finished)


def test_resume_refuses_what_would_change_the_numbers(finished: Path, tmp_path: Path) -> None:
    changed = r"can't change when a run goes on: epochs \(it was 2, now 9\), optim.base_lr \(.*\); only .*data.train"
    with pytest.raises(UserError, match=changed):
        run(tmp_path, "epochs=9", "optim.base_lr=0.5", resume=finished)
    with pytest.raises(UserError, match="no run there"):
        run(tmp_path, resume=tmp_path)


def test_an_edited_recipe_is_not_the_one_that_the_run_began_with(finished: Path, tmp_path: Path) -> None:
    """The checkpoint knows what ran; the file beside it may have been changed since."""
    out = Path(shutil.copytree(finished, tmp_path / "edited"))
    text = (out / "recipe.toml").read_text()
    (out / "recipe.toml").write_text(
        text.replace("jitter = 0.8", "jitter = 0.25").replace("every = 1\n", "every = 2\n")
    )
    with pytest.raises(
        UserError, match=r"^can't change when a run goes on: views.jitter \(it was 0.8, now 0.25\); only "
    ):
        run(out, resume=out)


def test_a_checkpoint_from_before_recipes_were_kept_goes_on_and_says_so(finished: Path, tmp_path: Path) -> None:
    out, said = Path(shutil.copytree(finished, tmp_path / "old")), io.StringIO()
    path = newest_checkpoint(out / "checkpoints")
    state = load_checkpoint(path)
    assert state.pop("recipe")["views.jitter"] == 0.8
    save_checkpoint(path.parent, state["step"], state)
    run(out, resume=out, said=said)
    assert "does not say which recipe the run began with: recipe.toml is believed" in said.getvalue()


def test_a_runs_artifact_means_the_run_and_is_never_trained_into(finished: Path, tmp_path: Path, monkeypatch) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in (out / "artifact").glob("*.safetensors")}
    assert run(out, resume=out / "artifact").folder == out
    with monkeypatch.context() as inside:
        inside.chdir(out / "artifact")
        assert run(out, resume=Path()).folder == out
    assert {path.name: path.read_bytes() for path in (out / "artifact").glob("*.safetensors")} == before
    assert not (out / "artifact" / "checkpoints").exists()
    alone = Path(shutil.copytree(out / "artifact", tmp_path / "published"))
    with pytest.raises(UserError, match="published is a published model, not a run; train from it with init="):
        run(out, resume=alone)
    with pytest.raises(UserError, match="published is a published model, not a run"):
        train("tiny64_ladder_dense", [*SMALL, f"out={alone}"], resume="auto", console=Console(file=io.StringIO()))


def test_a_folder_that_exists_is_not_overwritten(finished: Path) -> None:
    before = sorted(finished.iterdir())
    with pytest.raises(UserError, match=r"out=.* exists; name another folder, or go on with its run"):
        run(finished)
    assert sorted(finished.iterdir()) == before


def test_runs_without_a_folder_of_their_own_are_numbered(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [o for o in SMALL if not o.startswith("data.val")] + ["epochs=1", "optim.warmup_epochs=0"]
    for expected in ("runs/tiny64_byol", "runs/tiny64_byol-2"):
        assert train("tiny64_byol", overrides, console=Console(file=io.StringIO())).folder == Path(expected)


def test_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "nan"
    run(out, "data.val=", "epochs=1", "optim.warmup_epochs=0")
    state = load_checkpoint(newest_checkpoint(out / "checkpoints"))
    state["learner"]["predictors.res4_global.layers.3.weight"].fill_(float("nan"))
    keys = load_recipe(str(out / "recipe.toml"), ["epochs=3"])
    (out / "recipe.toml").write_text(keys.to_toml())
    save_checkpoint(out / "checkpoints", 4, {**state, "recipe": keys.dotted()})  # as if it had begun with three
    with pytest.raises(RunError) as error:
        run(out, resume=out)
    message = str(error.value)
    assert message.startswith("the loss of res4.global is no number at step 5; the last good checkpoint is")
    assert "step_000000004.pt; see" in message
    assert "log.jsonl, then try a lower optim.base_lr" in message
    assert not any("step_000000008" in str(path) for path in (out / "checkpoints").iterdir())


def test_damage_by_the_last_step_is_no_checkpoint(tmp_path: Path, monkeypatch) -> None:
    """Its loss was computed before it and is fine; only the weights show it."""
    advance = TrainState.advance

    def damaging(state: TrainState, *given):
        output = advance(state, *given)
        state.learner.predictors["res4_global"].layers[0].weight.data[0, 0] = float("inf")
        return output

    monkeypatch.setattr(TrainState, "advance", damaging)
    keys = ["data.train=shapes:8", "data.val=", "epochs=1", "optim.warmup_epochs=0"]
    with pytest.raises(RunError, match="a weight is no number after step 1; there is no checkpoint yet"):
        run(tmp_path / "run", *keys)
    assert not (tmp_path / "run" / "artifact").exists()


def test_a_run_goes_on_only_with_the_images_it_began_with(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "images", 9, 0)
    out = run(tmp_path / "run", f"data.train={folder}", "data.val=").folder
    Image.new("RGB", (40, 40)).save(folder / "new.png")
    with pytest.raises(UserError, match=r"is not what the run began with: 10 images \(digest \w{12}\), then 9"):
        run(out, resume=out)


def test_images_written_anew_under_their_names_are_other_images(tmp_path: Path) -> None:
    """The listing, of names and sizes, may be the same; their bytes are not."""
    folder = picture_folder(tmp_path / "images", good=16, bad=0)
    out = tmp_path / "run"
    run(out, f"data.train={folder}", "data.val=", "batch_size=8")
    run(out, resume=out)
    path = sorted(folder.rglob("*.png"))[3]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match="is not what the run began with: images of the same names were written anew"):
        run(out, resume=out)


def test_a_finished_run_can_be_finished_again(finished: Path) -> None:
    before = (finished / "artifact" / "metrics.json").read_text()
    log = deterministic(finished)
    run(finished, resume=finished)
    assert (finished / "artifact" / "metrics.json").read_text() == before
    assert deterministic(finished) == log


@pytest.fixture
def collapsed(tmp_path: Path) -> Path:
    """An artifact whose network gives every image the same features."""
    backbone = build_backbone("test_resnet")
    for parameter in backbone.parameters():
        torch.nn.init.zeros_(parameter)
    recipe = load_recipe("tiny64_byol", ["model.backbone=test_resnet"])
    write_artifact(tmp_path / "constant", backbone=backbone, recipe=recipe, provenance={}, metrics=[], log=[])
    return tmp_path / "constant"


def test_collapse_is_told_and_can_stop_the_run(collapsed: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    run(tmp_path / "warn", f"init={collapsed}", "data.val=", said=said)
    assert f"init={collapsed}: backbone, heads start at random" in said.getvalue()
    lines = [line for line in said.getvalue().splitlines() if line.startswith("warning: ")]
    assert {line.split()[1] for line in lines} >= {"res2.dense", "res2.global", "res5.global"}
    assert "has collapsed at step 2: the standard deviation of its unit vectors is 0.00 of 1/sqrt(d)" in lines[0]
    with pytest.raises(RunError, match=r"res2\.\w+ has collapsed at step 2"):
        run(tmp_path / "stop", f"init={collapsed}", "data.val=", "on_collapse=stop")


def test_init_from_a_run(finished: Path, tmp_path: Path) -> None:
    """With the same ladder everything goes on; the baseline is then the network that was started from."""
    said = io.StringIO()
    keys = [f"init={finished}", "optim.base_lr=1e-9", "target.base_momentum=1.0"]
    again = run(tmp_path / "more", *keys, said=said)
    assert f"init={finished}: backbone, heads and target" in said.getvalue()
    ours, theirs = weights(again.folder), weights(finished)
    for name, value in theirs.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=1e-5)
    heads = load_file(again.folder / "artifact" / "ladder_heads.safetensors")
    before = load_file(finished / "artifact" / "ladder_heads.safetensors")
    torch.testing.assert_close(heads["target.backbone.conv1.0.weight"], before["target.backbone.conv1.0.weight"])
    old = json.loads((finished / "artifact" / "metrics.json").read_text())
    assert [m["baseline"] for m in again.metrics] == [m["value"] for m in old]


def test_init_must_be_the_same_network(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a test_resnet, model.backbone is resnet10t; make them equal"):
        run(tmp_path / "x", f"init={finished}", "model.backbone=resnet10t")
    with pytest.raises(UserError, match="no weights are published"):
        run(tmp_path / "x", "init=ladder_byol_r50")
    assert not (tmp_path / "x").exists()


def picture_folder(folder: Path, good: int, bad: int) -> Path:
    folder.mkdir()
    for number in range(good):
        Image.new("RGB", (40, 40), (number * 9 % 255, 30, 60)).save(folder / f"{number:03}.png")
    for number in range(bad):
        (folder / f"bad{number}.jpg").write_bytes(b"no picture")
    return folder


def test_bad_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    folder, said = picture_folder(tmp_path / "images", 15, 1), io.StringIO()
    out = run(tmp_path / "run", f"data.train={folder}", "data.val=", "data.max_bad=0.1", said=said).folder
    assert said.getvalue().count("skipped bad0.jpg: ") == 1
    assert [record["bad"][0][0] for record in read_log(out) if "bad" in record] == ["bad0.jpg"]
    assert json.loads((out / "artifact" / "provenance.json").read_text())["bad_images"] == 1


def test_too_many_bad_images_stop_the_run(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "images", 15, 3)
    with pytest.raises(RunError, match=r"of 18 images can't be decoded, more than data.max_bad = 0.01: bad\d.jpg"):
        run(tmp_path / "run", f"data.train={folder}", "data.val=")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.train="], "data.train is empty: give a folder of images, tar shards, or shapes"),
        (["data.train=shapes:5"], "has 5 images, fewer than batch_size = 8: try batch_size=4"),
        (["data.train=/no/such/folder"], "/no/such/folder"),
        (["device=cuda:99"], "device=cuda:99 is not on this machine; try device=auto or device=cpu"),
        (["model.backbone=resnet5O"], "did you mean resnet50"),
        (["model.backbone=vit_tiny_patch16_224"], "no feature pyramid"),
    ],
)
def test_refusals_before_anything_is_written(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", *overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_validation_needs_labels_and_the_same_classes(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "images", 9, 0)
    with pytest.raises(UserError, match="has no labels"):
        run(tmp_path / "run", f"data.train={folder}")


def test_preview_writes_a_picture_and_stops(tmp_path: Path) -> None:
    fewer_than_a_batch = "data.train=shapes:5"
    assert run(tmp_path / "run", f"views.preview={tmp_path / 'views.png'}", fewer_than_a_batch) is None
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.width > 500
    assert not (tmp_path / "run").exists()


def test_time_left_is_told_in_a_log_too(tmp_path: Path) -> None:
    said = io.StringIO()
    run(tmp_path / "run", "data.val=", said=said)
    lines = [line for line in said.getvalue().splitlines() if line.startswith("epoch ")]
    assert len(lines) == 8
    assert "res2.dense" in lines[0]
    assert "left 0:00" in lines[-1]
    assert time.strptime(lines[0].rsplit(" ", 1)[1], "%M:%S")


@pytest.mark.real
def test_real_shards(real_data: Path, tmp_path: Path) -> None:
    shards = real_data / "tiny-imagenet-100"
    words = [f"data.train={shards}/train-{{000000..000005}}.tar", "data.val=", "batch_size=8", "data.image_size=64"]
    recipe = load_recipe("tiny64_ladder_byol", [*SMALL, *words])
    inputs = open_inputs(recipe)
    assert len(inputs.train) == 30_000
    world, layout = World(), Layout(processes=1, micro_batch=4, accumulation=2, batch_norm="ghost")
    state = TrainState(recipe, build_learner(recipe), world, layout, steps_per_epoch=len(inputs.train) // 8)
    batches = two_views(recipe, inputs.train, layout, world).batches(0, samples=16)
    losses = [state.advance((next(batches), next(batches))).losses for _ in range(2)]
    assert all(0 < loss.item() < 8 for step in losses for loss in step.values())


def test_images_that_vote_and_are_asked_are_told_and_stand_beside_the_figure(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for label in ("a", "b"):
        picture_folder(images / label, 8, 0)
    for path in (images / "b").iterdir():
        path.write_bytes(path.read_bytes() + b"b")  # behind the end of the image: other bytes, the same pixels
    said = io.StringIO()
    keys = [f"data.train={images}", f"data.val={images}"]
    done = run(tmp_path / "run", *keys, said=said)
    assert "data.val and data.train overlap: 16 of the 16 images of data.val are in data.train too" in said.getvalue()
    assert "(n = 16, 16 of data.val in data.train too)" in said.getvalue()
    assert [entry["overlap"] for entry in done.metrics] == [16]
