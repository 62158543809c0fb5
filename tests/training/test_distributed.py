"""Several processes train as one: the same mathematics, one writer, and nobody left waiting."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from processes import LIMIT, Processes, command, free_port, slurm_variables, torchrun_variables
from safetensors.torch import load_file

from ladder_hub.data.views import ViewCutter
from ladder_hub.errors import RunError
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.runtime.distributed import open_world
from ladder_hub.runtime.log import read_log
from ladder_hub.training.inputs import open_inputs, two_views
from ladder_hub.training.layout import lay_out
from ladder_hub.training.state import TrainState, build_learner

SMALL = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "data.image_size=32", "batch_size=32"]
SMALL += ["micro_batch=32", "data.train=shapes:160", "data.val=", "epochs=1", "optim.warmup_epochs=0.5", "log.every=1"]
SMALL += ["data.workers=0", "device=cpu", "precision=float64", "timeout=60"]

Steps = tuple[list[dict[str, float]], dict[str, np.ndarray]]


def five_steps(*overrides: str) -> Steps:
    """Losses of every step and all weights after the last, of this process."""
    torch.set_num_threads(1)
    recipe = load_recipe("tiny64_ladder_dense", [*SMALL, *overrides])
    with open_world(timeout=60) as world:
        layout = lay_out(
            batch_size=recipe.batch_size,
            micro_batch=recipe.micro_batch,
            batch_norm=recipe.batch_norm,
            processes=world.size,
        )
        state = TrainState(recipe, build_learner(recipe), world, layout, steps_per_epoch=5)
        batches = two_views(recipe, open_inputs(recipe).train, layout, world).batches(0, samples=160)
        losses = []
        for _ in range(5):
            output = state.advance([next(batches) for _ in range(layout.accumulation)])
            losses.append({name: world.mean(loss).item() for name, loss in output.losses.items()})
        return losses, {name: value.numpy() for name, value in state.learner.state_dict().items()}


def together(folder: Path, size: int, *overrides: str) -> Steps:
    """`five_steps` in several processes; they must agree to the last bit among themselves."""
    found = Processes(five_steps, *overrides, variables=torchrun_variables(size), folder=folder)
    results = found.results()
    assert found.statuses == [0] * size, found.said
    for losses, weights in results[1:]:
        assert losses == results[0][0]
        assert all(np.array_equal(value, results[0][1][name]) for name, value in weights.items())
    return results[0]


def difference(first: Steps, second: Steps) -> tuple[float, float]:
    """The largest difference of a loss, and of a weight or BatchNorm statistic."""
    losses = max(abs(a[name] - b[name]) for a, b in zip(first[0], second[0], strict=True) for name in a)
    assert first[1].keys() == second[1].keys()
    weights = max(np.abs(value - second[1][name]).max() for name, value in first[1].items())
    return losses, weights


@pytest.mark.parametrize("size", [2, 4])
def test_one_process_or_several_give_the_same_numbers(size: int, tmp_path: Path) -> None:
    """1 x 32 against 2 x 16 and 4 x 8 in float64: BatchNorm's statistics are of the whole batch."""
    losses, weights = difference(five_steps(), together(tmp_path, size))
    assert losses < 1e-10
    assert weights < 1e-10


def test_accumulation_synchronises_a_pass(tmp_path: Path) -> None:
    """Two processes of 2 x 8 see in every pass what one process sees in passes of 16."""
    alone = five_steps("micro_batch=16")
    losses, weights = difference(alone, together(tmp_path, 2, "micro_batch=8"))
    assert losses < 1e-10
    assert weights < 1e-10
    assert difference(alone, five_steps())[0] > 1e-3  # passes of 16 are not passes of 32


def test_a_norm_with_an_activation_inside_is_synchronised_too(tmp_path: Path) -> None:
    """timm's BatchNormAct, which RegNets and EfficientNets have."""
    keys = ["model.backbone=test_efficientnet", "method=byol"]
    losses, weights = difference(five_steps(*keys), together(tmp_path, 2, *keys))
    assert losses < 1e-10
    assert weights < 1e-10


def test_ghost_statistics_are_each_processs_own(tmp_path: Path) -> None:
    found = Processes(five_steps, "batch_norm=ghost", variables=torchrun_variables(2), folder=tmp_path).results()
    first, second = (weights for _, weights in found)
    name = next(key for key in first if key.endswith("running_mean"))
    assert not np.array_equal(first[name], second[name])
    for key in first:
        if not key.endswith(("running_mean", "running_var")):
            assert np.array_equal(first[key], second[key]), key
    alone = five_steps("batch_norm=ghost", "micro_batch=16")
    assert max(abs(a[k] - b[k]) for a, b in zip(found[0][0], alone[0], strict=True) for k in a) < 1e-10


RUN = ["recipe=tiny64_ladder_dense", *SMALL, "data.train=shapes:64", "data.val=shapes:24", "batch_size=16"]
RUN += ["micro_batch=8", "epochs=2", "knn.every=1", "knn.bank=16", "precision=float32"]


def start(out: Path, size: int, *overrides: str, slurm: bool = False) -> Processes:
    variables = slurm_variables(size) if slurm else torchrun_variables(size)
    out.parent.mkdir(exist_ok=True)
    return Processes(command, "train", *RUN, f"out={out}", *overrides, variables=variables, folder=out.parent)


def finish(processes: Processes) -> list[str]:
    processes.results()
    assert processes.statuses == [0] * len(processes.statuses), processes.said
    return processes.said


def losses_of(out: Path) -> list[float]:
    return [record["loss"] for record in read_log(out) if "loss" in record]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, list[str]]:
    """A whole run of two processes, started as srun would."""
    out = tmp_path_factory.mktemp("pair") / "run"
    return out, finish(start(out, 2, slurm=True))


def test_one_writes_and_speaks_for_all(pair: tuple[Path, list[str]]) -> None:
    out, (first, second) = pair
    assert "as 2 processes x 1 x 8 (BatchNorm: sync, 16 images)" in first
    assert second == ""
    assert [record["step"] for record in read_log(out) if "loss" in record] == list(range(1, 9))
    assert len(list(out.glob("events.*"))) == 1
    assert len(list((out / "checkpoints").glob("*.pt"))) == 2
    provenance = json.loads((out / "artifact" / "provenance.json").read_text())
    assert (provenance["processes"], provenance["batch"]) == (2, "2 processes x 1 x 8 (BatchNorm: sync, 16 images)")
    metrics = json.loads((out / "artifact" / "metrics.json").read_text())
    assert [m["n"] for m in metrics] == [24, 24]


def test_the_log_is_that_of_one_process(pair: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Losses, monitors and kNN, reduced over all; one process with passes of 16 sees the same."""
    finish(start(tmp_path / "run", 1, "micro_batch=16"))
    ours, theirs = read_log(pair[0]), read_log(tmp_path / "run")
    assert [record.keys() for record in ours] == [record.keys() for record in theirs]
    for a, b in zip(ours, theirs, strict=True):
        for key in ("losses", "std", "rank", "knn"):
            for name, value in a.get(key, {}).items():
                assert value == pytest.approx(b[key][name], rel=2e-3), (key, name, a["step"])


def at_step(step: int, rank: int, act: str, *words: str) -> None:
    """The command line, with something happening to one process when it begins a certain step."""
    advance = TrainState.advance

    def acting(state: TrainState, micro_batches: Any) -> Any:
        own = int(os.environ["RANK"])
        if state.step == step and act == "stop one, lose the other":
            (stop, lose_images)[own]()
        elif state.step == step and own == rank:
            {"stop": stop, "die": die, "freeze": freeze, "lose": lose_images}[act]()
        return advance(state, micro_batches)

    TrainState.advance = acting  # type: ignore[method-assign]
    command(*words)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def lose_images() -> None:
    """What the loader's threads are asked for from now on can't be had."""

    def gone(*_: Any) -> None:
        raise RunError("the images are gone")

    ViewCutter.batch = gone  # type: ignore[method-assign]


def acted(out: Path, size: int, *overrides: str, step: int, rank: int, act: str) -> Processes:
    """Where something happens to one process, all end."""
    out.parent.mkdir(exist_ok=True)
    words = ["train", *RUN, f"out={out}", *overrides]
    processes = Processes(at_step, step, rank, act, *words, variables=torchrun_variables(size), folder=out.parent)
    if act == "freeze":
        others = [process for number, process in enumerate(processes.processes) if number != rank]
        for process in others:
            process.join(LIMIT)
        processes.processes[rank].kill()
    processes.results()
    return processes


def test_the_world_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    """Two processes, then one, then four: every image once an epoch, whoever reads it, and the same numbers.

    One process is asked to stop, and all do, at one step; the first says so.
    """
    keys = ["data.val=", "micro_batch=16", "epochs=3", "precision=float64"]
    whole, out = tmp_path / "whole" / "run", tmp_path / "parts" / "run"
    finish(start(whole, 1, *keys))
    for size, step in ((2, 3), (1, 6)):
        parts = acted(out, size, *keys, "resume=auto", step=step - 1, rank=size - 1, act="stop")
        assert parts.statuses == [75] * size, parts.said
        assert f"stopped by SIGTERM at step {step} of 12; go on with: ladder-hub train resume={out}" in parts.said[0]
        assert not any(parts.said[1:])
    (first, *others) = finish(start(out, 4, *keys, "resume=auto"))
    assert "it goes on with 4 processes instead of 1" in first
    assert not any(others)
    assert [record["step"] for record in read_log(out)] == list(range(1, 13))
    assert losses_of(out) == pytest.approx(losses_of(whole), rel=1e-10)
    theirs = load_file(whole / "artifact" / "model.safetensors")
    for name, value in load_file(out / "artifact" / "model.safetensors").items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-9, msg=name)


def test_one_that_dies_ends_all(tmp_path: Path) -> None:
    processes = acted(tmp_path / "run", 2, "data.val=", step=5, rank=1, act="die")
    assert processes.statuses == [1, -signal.SIGKILL]
    assert "process 0 of 2 lost another one (" in processes.said[0]
    assert "Traceback" not in processes.said[0]
    assert load_checkpoint(newest_checkpoint(tmp_path / "run" / "checkpoints"))["step"] == 4


def test_one_that_answers_no_more_ends_all_within_the_timeout(tmp_path: Path) -> None:
    """A machine that hangs: its connections stand, and nothing comes."""
    processes = acted(tmp_path / "run", 2, "data.val=", "timeout=10", step=5, rank=1, act="freeze")
    assert processes.statuses == [1, -signal.SIGKILL]
    assert "process 0 of 2 lost another one (" in processes.said[0]
    assert "10000ms" in processes.said[0]


def test_the_first_tells_what_another_met(tmp_path: Path) -> None:
    processes = acted(tmp_path / "run", 2, "data.val=", "data.workers=1", step=2, rank=1, act="lose")
    assert processes.statuses == [1, 1]
    assert "process 1 of 2: the images are gone" in processes.said[0]
    assert processes.said[1] == ""


def test_a_wish_to_stop_comes_before_a_failure(tmp_path: Path) -> None:
    """What another meets meanwhile costs nothing: the checkpoint is written all the same."""
    keys = ["data.val=", "data.workers=1", "data.train=shapes:320"]
    processes = acted(tmp_path / "run", 2, *keys, step=2, rank=-1, act="stop one, lose the other")
    assert processes.statuses == [75, 75], processes.said
    assert "stopped by SIGTERM at step" in processes.said[0]
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") is not None


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["batch_size=15"], "batch_size = 15 can't be shared by 2 processes; try batch_size=16"),
        (["no.such=key"], "unknown key 'no.such'"),
        (["data.train=/no/such/folder"], "/no/such/folder does not exist"),
        (["device=cuda:1"], "device=cuda:1: with several processes each takes a GPU of its own; leave device=auto"),
        (["out="], None),
    ],
)
def test_what_all_meet_is_told_once(keys: list[str], message: str | None, tmp_path: Path) -> None:
    if message is None:  # an `out` that exists
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "file").touch()
        keys, message = [], "exists; name another folder"
    processes = start(tmp_path / "run", 2, *keys)
    processes.results()
    assert processes.statuses == [2, 2]
    assert message in processes.said[0]
    assert processes.said[0].count("\n") == 1
    assert processes.said[1] == ""


def test_bad_images_are_put_together(tmp_path: Path) -> None:
    """Each is told and logged once, at the step where it was met, whoever met it."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(62):
        Image.new("RGB", (40, 40), (number * 4, 30, 60)).save(folder / f"{number:03}.png")
    for name in ("bad0.png", "bad1.png"):
        (folder / name).write_bytes(b"no picture")
    keys = [f"data.train={folder}", "data.val=", "data.max_bad=0.1", "log.every=2"]
    said = finish(start(tmp_path / "two", 2, *keys))
    finish(start(tmp_path / "one", 1, *keys, "micro_batch=16"))
    assert [said[0].count(f"skipped bad{number}.png") for number in (0, 1)] == [1, 1]
    bad = [record for record in read_log(tmp_path / "two") if "bad" in record]
    assert bad == [record for record in read_log(tmp_path / "one") if "bad" in record]
    assert sorted(record["bad"][0][0] for record in bad) == ["bad0.png", "bad1.png"]


def test_two_torchrun_agents_run_one_job(tmp_path: Path) -> None:
    """As on two machines: each agent starts one process, and they meet over a socket."""
    out, port = tmp_path / "run", free_port()
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d"]
    agent += [f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=7", "-m", "ladder_hub", "train", *RUN, f"out={out}"]
    agents = [subprocess.Popen(agent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate(timeout=LIMIT)[0] for process in agents]
    assert [process.returncode for process in agents] == [0, 0], said
    assert sum("as 2 processes x 1 x 8" in text for text in said) == 1
    assert json.loads((out / "artifact" / "provenance.json").read_text())["processes"] == 2
