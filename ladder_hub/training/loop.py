"""The loop: step, look, log, measure, checkpoint; and every reason to stop before the end.

Every process of the world runs it in step; the first one writes and speaks for all.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ladder_hub.data.loader import BadLedger, Batch
from ladder_hub.data.views import Views
from ladder_hub.errors import RunError, UserError
from ladder_hub.progress import Display, Task, step_line, step_state
from ladder_hub.runtime.checkpoint import newest_checkpoint, save_checkpoint
from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.energy import EnergyMeter
from ladder_hub.runtime.log import Log
from ladder_hub.runtime.signals import Interrupted, StopSignals
from ladder_hub.siamese.learner import Output
from ladder_hub.training.inputs import Inputs, two_views
from ladder_hub.training.monitors import Spread, moments, spread
from ladder_hub.training.state import TrainState
from ladder_hub.training.watch import Watch


class Loop:
    """Trains `state` to its last step, writing into `folder`; `saved` is the checkpoint that it goes on from."""

    def __init__(
        self,
        state: TrainState,
        inputs: Inputs,
        world: World,
        *,
        folder: Path,
        log: Log,
        display: Display,
        stop: StopSignals,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        self.state, self.inputs, self.world = state, inputs, world
        self.folder, self.log, self.display = folder, log, display
        self.recipe = state.recipe
        self.stop = stop
        saved = saved or {"seconds": 0.0, "joules": 0.0, "bad": [], "low": {}}
        self.bad = [(key, reason) for key, reason in saved["bad"]]
        self._ledger = BadLedger(len(inputs.train), self.recipe.data.max_bad)
        self._ledger.add(self.bad)
        self._new_bad: list[tuple[int, str, str]] = []
        self._seconds_before = saved["seconds"]
        self.energy = EnergyMeter(world.device, saved.get("joules"))
        self._first_step = state.step
        self._watch = Watch(state.learner, saved["low"], mean=world.mean)
        self._waited = 0.0
        self._interval = time.perf_counter(), state.step

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, over all its parts."""
        return self._seconds_before + time.perf_counter() - self._started

    def run(self) -> Iterator[int]:
        """To the last step; yields the number of whole epochs taken before each epoch, for what is due there.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGUSR1 came; the checkpoint of this very step is written.
            RunError: a loss is no number, a level collapsed and `on_collapse` is stop, or the data went bad.
        """
        self._started = time.perf_counter()
        self._interval = self._started, self.state.step
        state = self.state
        views = two_views(self.recipe, self.inputs.train, state.layout, self.world)
        task = self.display.task("train", state.steps, state.step, lines=False)
        try:
            while state.step < state.steps:
                yield state.epoch
                self._interval, self._waited = (time.perf_counter(), state.step), 0.0
                self._epoch(views, task)
        except torch.OutOfMemoryError:
            raise RunError(
                f"{state.device} ran out of memory after step {state.step}; {self._last_checkpoint()}; "
                f"start anew with a micro_batch below {state.layout.micro_batch}"
            ) from None
        task.close()
        self.display.show("")

    def heed_signals(self) -> None:
        """Where any process was asked to stop, all write the checkpoint and end.

        Raises:
            Interrupted: so it was.
        """
        self._agree(None)

    def _epoch(self, views: Views, task: Task) -> None:
        """The rest of the epoch that the state stands in."""
        state, recipe = self.state, self.recipe
        done = state.step % state.steps_per_epoch
        batches = views.batches(
            state.epoch, samples=state.steps_per_epoch * recipe.batch_size, start=done * recipe.batch_size
        )
        for _ in range(done, state.steps_per_epoch):
            micro_batches = self._next(batches)
            output = state.advance(micro_batches)
            self._new_bad += [(state.step, *pair) for batch in micro_batches for pair in batch.bad]
            self._watch.note(state.step, output.losses)
            if state.step % recipe.log.every == 0 or state.step == state.steps:
                self._log_step(output, task)
            task.advance()
        if state.epoch % recipe.log.checkpoint == 0 or state.step == state.steps:
            self._checkpoint()

    def _next(self, batches: Iterator[Batch]) -> tuple[Batch, ...]:
        """The micro-batches of the next step, once every process has its own; the time spent waiting is the data's."""
        before, failure = time.perf_counter(), None
        micro_batches: tuple[Batch, ...] = ()
        try:
            micro_batches = tuple(next(batches) for _ in range(self.state.layout.accumulation))
        except (UserError, RunError) as error:
            failure = error
        self._waited += time.perf_counter() - before
        self._agree(failure)
        return micro_batches

    def _agree(self, failure: UserError | RunError | None) -> None:
        """Go on together, or end together."""
        received = self.world.heard(self.stop.received, failure)
        if received:
            self._checkpoint()
            self.world.raise_on_all(
                Interrupted(
                    f"stopped by {received} at step {self.state.step} of {self.state.steps}; "
                    f"go on with: ladder-hub train resume={self.folder}"
                )
            )

    def _settle_bad(self) -> None:
        """Put together the images that no process could decode since the last look."""
        for step, key, reason in sorted(pair for part in self.world.gather(self._new_bad) for pair in part):
            try:
                new = self._ledger.add([(key, reason)])
            except RunError as error:
                self.world.raise_on_all(error)
            self.display.left_out(new)
            if new:
                self.bad += new
                self.log.write({**self.place(step), "bad": [list(pair) for pair in new]})
        self._new_bad = []

    def _log_step(self, output: Output, task: Task) -> None:
        state, world = self.state, self.world
        self._settle_bad()
        losses = self._check()
        spreads = {name.replace("_", "."): spread(world.sum(moments(p))) for name, p in output.projections.items()}
        now, (since, step) = time.perf_counter(), self._interval
        record = {
            **self.place(state.step),
            "loss": state.learner.total(losses).item(),
            "losses": {name: loss.item() for name, loss in losses.items()},
            "lr": state.learning_rate,
            "momentum": state.momentum,
            "std": {name: s.std for name, s in spreads.items()},
            "rank": {name: s.rank for name, s in spreads.items()},
            "samples_per_second": (state.step - step) * self.recipe.batch_size / (now - since),
            "data_wait": self._waited / (now - since),
        }
        self._interval, self._waited = (now, state.step), 0.0
        self.log.write(record)
        task.describe(f"epoch {record['epoch'] + 1}/{self.recipe.epochs}")
        self.display.show(step_state(record))
        if not self.display.console.is_terminal:
            left = (now - self._started) / (state.step - self._first_step) * (state.steps - state.step)
            self.display.say(step_line(record, epochs=self.recipe.epochs, steps=state.steps, seconds_left=left))
        self._check_spread(spreads)

    def place(self, step: int) -> dict[str, Any]:
        """How a record of the log begins."""
        epoch = (step - 1) // self.state.steps_per_epoch
        return {"step": step, "epoch": epoch, "samples": step * self.recipe.batch_size}

    def _check_spread(self, spreads: dict[str, Spread]) -> None:
        for line in self._watch.newly_collapsed(self.state.step, spreads):
            if self.recipe.on_collapse == "stop":
                self.world.raise_on_all(RunError(f"{line}; {self._last_checkpoint()}; see {self.log.path}"))
            self.display.say(f"warning: {line} (on_collapse=stop ends the run here)")

    def _check(self, *, weights: bool = False) -> dict[str, torch.Tensor]:
        """The losses of the last step, where they and the weights are numbers."""
        try:
            losses = self._watch.check_losses()
            if weights:
                self._watch.check_weights(self.state.step)
        except RunError as error:
            advice = "then try a lower optim.base_lr or precision=float32"
            self.world.raise_on_all(RunError(f"{error}; {self._last_checkpoint()}; see {self.log.path}, {advice}"))
        return losses

    def _checkpoint(self) -> None:
        """All settle what belongs into it, the first writes it, all wait: a kill of one ends the others."""
        self._settle_bad()
        self.energy.settle(self.world)
        self._check(weights=True)
        self.world.agreed(self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        if self.world.is_first:
            extra = {
                "seconds": self.seconds,
                "joules": self.energy.joules,
                "bad": [list(pair) for pair in self.bad],
                "low": self._watch.low,
                "data": self.inputs.fingerprint,
                "processes": self.world.size,
                "recipe": self.state.recipe.dotted(),
                "sample": self.inputs.sample,
            }
            save_checkpoint(self.folder / "checkpoints", self.state.step, {**self.state.state_dict(), **extra})

    def _last_checkpoint(self) -> str:
        path = newest_checkpoint(self.folder / "checkpoints")
        return f"the last good checkpoint is {path}" if path else "there is no checkpoint yet"
