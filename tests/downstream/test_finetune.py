"""The long supervised run: a small task of its own, in this process and in several, stopped and gone on with."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import Processes, torchrun_variables
from rich.console import Console
from torch import Tensor, nn

from ladder_hub.data.chance import order, view_generator
from ladder_hub.downstream.finetune import SAFE_ON_RESUME, Batch, Finetuned, FinetuneKeys, Judge, finetune
from ladder_hub.downstream.finetune.order import StepPlan
from ladder_hub.downstream.finetune.state import FinetuneState
from ladder_hub.errors import RunError, UserError
from ladder_hub.recipe_files import load
from ladder_hub.runtime.checkpoint import load_checkpoint, newest_checkpoint
from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.log import read_log

COUNT, STEPS = 12, 10


class Keys(FinetuneKeys):
    lr: float = 0.05
    steps: int = STEPS
    dropout: float = 0.2
    blow_up: int = STEPS
    """The step from which the learning rate is absurd."""


RECIPE = (
    'description = "toy"\nprotocol = "toy:1"\nbatch_size = 4\ndevice = "cpu"\nlog = { every = 2, checkpoint = 4 }\n'
)


class Net(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Flatten())
        self.last = nn.Linear(4 * 36, 3)

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        out = self.last(self.body(images))
        return {"class": nn.functional.cross_entropy(out, labels), "size": out.square().mean()}


@dataclass(frozen=True)
class Maker:
    seed: int
    broken: tuple[int, ...] = ()

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        draws = [view_generator(seed=self.seed, epoch=e, index=i, view=0).normal(size=(1, 8, 8)) for e, i in requests]
        labels = torch.tensor([index % 3 for _, index in requests])
        bad = [(f"image {index}", "truncated") for _, index in requests if index in self.broken]
        return Batch((torch.tensor(np.stack(draws), dtype=torch.float32), labels), bad)


class Toy:
    name, count, max_bad, workers = "toy", COUNT, 0.2, 0

    def __init__(self, keys: Keys, *, data: str = "a", broken: tuple[int, ...] = ()) -> None:
        torch.manual_seed(keys.seed)
        self.network = Net(keys.dropout)
        self.steps = keys.steps
        self.maker = Maker(keys.seed, broken)
        self.facts = {"data.train": data}
        self._keys = keys

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), self._keys.lr, momentum=0.9)

    def rate(self, step: int) -> float:
        return 1e30 if step >= self._keys.blow_up else 1 - step / self.steps

    def evaluate(self, network: nn.Module, judge: Judge) -> list[dict[str, Any]]:
        return [{"protocol": "toy:1", "value": network.last.weight.abs().sum().item(), "training": network.training}]


def read(name: str, overrides: Any) -> Keys:
    return load(Keys, name, overrides)


def run(folder: Path, *overrides: str, resume: str | None = None, **task: Any) -> Finetuned[Keys]:
    torch.set_num_threads(1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    recipe = folder.parent / "toy.toml"
    recipe.write_text(RECIPE)
    return finetune(
        read,
        lambda keys, world, say: Toy(keys, **task),
        str(recipe),
        [f"out={folder}", "precision=float32", *overrides],  # auto is the machine's choice
        resume=resume,
        safe=(*SAFE_ON_RESUME, "lr"),
        again="ladder-hub eval toy MODEL",
        console=Console(quiet=True),
    )


def weights(folder: Path) -> dict[str, Tensor]:
    return load_checkpoint(newest_checkpoint(folder / "checkpoints"))["network"]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_epoch_sees_every_sample_once_in_its_own_order() -> None:
    flat = [pair for step in StepPlan(7, 3, 0, 7, seed=5) for pair in step]
    assert flat == [(epoch, index) for epoch in range(3) for index in order(7, seed=5, epoch=epoch).tolist()]


def test_a_plan_may_start_anywhere_and_be_shared() -> None:
    whole = list(StepPlan(7, 4, 0, 9, seed=1))
    assert list(StepPlan(7, 4, 6, 9, seed=1)) == whole[6:]
    halves = [list(StepPlan(7, 4, 0, 9, seed=1, rank=rank, processes=2)) for rank in range(2)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole
    assert len(StepPlan(7, 4, 6, 9, seed=1)) == 3


def test_a_run_leaves_recipe_log_checkpoint_and_figures(tmp_path: Path) -> None:
    done = run(tmp_path / "run")
    assert (done.folder, done.recipe.precision) == (tmp_path / "run", "float32")
    assert load(Keys, str(tmp_path / "run" / "recipe.toml")) == done.recipe
    records = read_log(tmp_path / "run")
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10]
    assert [record["epoch"] for record in records] == [0, 1, 1, 2, 3]
    assert records[-1]["samples"] == 40
    assert records[-1]["lr"] == pytest.approx(0.05 * 0.1)
    assert records[0]["loss"] == pytest.approx(sum(records[0]["losses"].values()))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == done.metrics
    assert done.metrics[0]["training"] is False
    assert done.metrics[0]["value"] == weights(done.folder)["last.weight"].abs().sum().item()


def stopped(folder: Path, at: int) -> None:
    """A run in this process that gets SIGTERM before a step."""
    advance = FinetuneState.advance

    def told(state: FinetuneState, batch: Batch) -> Any:
        if state.step == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(state, batch)

    FinetuneState.advance = told
    try:
        run(folder)
    except RunError as error:
        print(f"ladder-hub: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


@pytest.mark.parametrize("resume", ["folder", "auto"])
def test_stopped_and_resumed_is_the_same_run_to_the_bit(resume: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(whole)
    process = Processes(stopped, parts, 4, variables=[{}], folder=tmp_path)
    process.results()
    assert process.statuses == [75]
    assert (
        f"stopped by SIGTERM at step 5 of 10; go on with: ladder-hub eval toy MODEL resume={parts}" in process.said[0]
    )
    found = run(parts, resume=str(parts) if resume == "folder" else "auto")
    assert same(weights(parts), weights(whole))
    assert found.metrics == expected.metrics
    ours, theirs = ([r["losses"] for r in read_log(folder)] for folder in (parts, whole))
    assert ours == theirs


def test_a_finished_run_is_judged_again(tmp_path: Path) -> None:
    first = run(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    assert run(tmp_path / "run", resume="auto").metrics == first.metrics


def test_what_decides_the_numbers_cannot_change_under_way(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with pytest.raises(UserError, match=r"can't change when a run goes on: seed \(it was 0, now 1\)"):
        run(tmp_path / "run", "seed=1", resume="auto")
    with pytest.raises(UserError, match="data.train is not what the run began with: it is b, then a"):
        run(tmp_path / "run", resume="auto", data="b")
    assert run(tmp_path / "run", "lr=0.1", resume="auto").recipe.lr == 0.1  # this verb calls it safe


def test_an_edited_recipe_is_not_the_one_that_the_run_began_with(tmp_path: Path) -> None:
    run(tmp_path)
    recipe = tmp_path / "recipe.toml"
    began = recipe.read_text()
    assert "\nseed = 0\n" in began
    recipe.write_text(began.replace("\nseed = 0\n", "\nseed = 3\n"))
    with pytest.raises(UserError, match=r"^can't change when a run goes on: seed \(it was 0, now 3\); only "):
        run(tmp_path, resume=str(tmp_path))


def test_a_folder_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with pytest.raises(UserError, match=r"exists; .* go on with its run: ladder-hub eval toy MODEL resume="):
        run(tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the loss \w+ is no number at step 6; .*step_000000004.pt; see .*log.jsonl"):
        run(tmp_path / "run", "blow_up=4")


def test_a_parameter_without_a_gradient_is_named(tmp_path: Path) -> None:
    task = Toy(load(Keys, str(_recipe(tmp_path))))
    task.network.lonely = nn.Parameter(torch.zeros(1))
    state = FinetuneState(task, load(Keys, str(_recipe(tmp_path))), World())
    with pytest.raises(RunError, match="lonely gets no gradient from the losses of toy"):
        state.advance(task.maker.make([(0, 0), (0, 1)]))


def _recipe(folder: Path) -> Path:
    (folder / "toy.toml").write_text(RECIPE)
    return folder / "toy.toml"


def test_undecodable_images_are_counted_and_too_many_end_the_run(tmp_path: Path) -> None:
    run(tmp_path / "run", broken=(3, 4))
    named = [pair for record in read_log(tmp_path / "run") for pair in record.get("bad", [])]
    assert sorted(named) == [["image 3", "truncated"], ["image 4", "truncated"]]
    with pytest.raises(RunError, match="3 of 12 images can't be decoded"):
        run(tmp_path / "worse", broken=(3, 4, 5))


def without_dropout(folder: Path) -> Any:
    """A run without dropout, whose draws are each process's own."""
    done = run(folder, "dropout=0.0")
    return done and done.metrics


def test_two_processes_are_one_run(tmp_path: Path) -> None:
    pair = Processes(without_dropout, tmp_path / "pair", variables=torchrun_variables(2), folder=tmp_path)
    first, second = pair.results()
    assert pair.statuses == [0, 0], pair.said
    assert (first is not None, second) == (True, None)
    alone = Processes(without_dropout, tmp_path / "alone", variables=[{}], folder=tmp_path)
    alone.results()
    ours, theirs = weights(tmp_path / "pair"), weights(tmp_path / "alone")
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-5) for name in theirs)
    losses = [[record["losses"] for record in read_log(tmp_path / name)] for name in ("pair", "alone")]
    for a, b in zip(*losses, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_a_batch_that_cannot_be_shared_says_which_can(tmp_path: Path) -> None:
    keys = load(Keys, str(_recipe(tmp_path)), ["batch_size=5"])
    world = World()
    world.size = 2
    with pytest.raises(UserError, match="batch_size = 5 can't be shared by 2 processes; try batch_size=4"):
        FinetuneState(Toy(keys), keys, world)
