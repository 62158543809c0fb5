"""The loop of a fine-tuning run: step, log, checkpoint; and every reason to stop before the end.

Every process of the world runs it in step; the first one writes and speaks for all.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ladder_hub.data.bad import BadLedger
from ladder_hub.data.workers import BatchWorkers
from ladder_hub.downstream.finetune.losses import Losses, check_weights
from ladder_hub.downstream.finetune.order import StepPlan
from ladder_hub.downstream.finetune.state import FinetuneState
from ladder_hub.downstream.finetune.task import Batch
from ladder_hub.errors import RunError, UserError
from ladder_hub.progress import Display, step_line, step_state
from ladder_hub.runtime.checkpoint import newest_checkpoint, save_checkpoint
from ladder_hub.runtime.log import Log
from ladder_hub.runtime.signals import Interrupted, StopSignals


class FinetuneLoop:
    """Takes `state` to its last step, writing into `folder`; `saved` is the checkpoint that it goes on from.

    Args:
        state: the network and its task.
        folder: the run's.
        log: where the records go.
        display: where people look.
        stop: whether anybody asks the run to stop.
        again: the command that goes on with the run, up to its `resume=`.
        saved: the state in the checkpoint.
    """

    def __init__(
        self,
        state: FinetuneState,
        *,
        folder: Path,
        log: Log,
        display: Display,
        stop: StopSignals,
        again: str,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        self.state, self.task, self.world = state, state.task, state.world
        self.folder, self.log, self.display, self.stop = folder, log, display, stop
        self._again = again
        saved = saved or {"seconds": 0.0, "bad": []}
        self.bad = [(key, reason) for key, reason in saved["bad"]]
        self._ledger = BadLedger(self.task.count, self.task.max_bad)
        self._ledger.add(self.bad)
        self._new_bad: list[tuple[int, str, str]] = []
        self._losses = Losses(mean=self.world.mean)
        self._seconds_before = saved["seconds"]
        self._first_step = state.step
        self._waited = 0.0

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, over all its parts."""
        return self._seconds_before + time.perf_counter() - self._started

    def run(self) -> None:
        """To the last step.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGUSR1 came; the checkpoint of this very step is written.
            RunError: a loss is no number, or the data went bad.
        """
        self._started = time.perf_counter()
        self._interval = self._started, self.state.step
        progress = self.display.task(self.task.name, self.state.steps, self.state.step, lines=False)
        try:
            batches = self._batches()
            while self.state.step < self.state.steps:
                self._step(batches)
                progress.advance()
            self._heed(None)
        except torch.OutOfMemoryError:
            raise RunError(
                f"{self.world.device} ran out of memory after step {self.state.step}; {self._last_checkpoint()}; "
                f"start anew with a batch_size below {self.state.keys.batch_size}"
            ) from None
        progress.close()
        self.display.show("")

    def _batches(self) -> Iterator[Batch]:
        keys, state, world = self.state.keys, self.state, self.world
        pin = world.device.type == "cuda"
        workers: BatchWorkers[Batch] = BatchWorkers(self.task.maker, workers=self.task.workers, pin=pin)
        return workers.run(
            StepPlan(
                self.task.count,
                keys.batch_size,
                state.step,
                state.steps,
                seed=keys.seed,
                rank=world.rank,
                processes=world.size,
            )
        )

    def _step(self, batches: Iterator[Batch]) -> None:
        state, every = self.state, self.state.keys.log
        batch = self._next(batches)
        losses = state.advance(batch)
        self._losses.note(state.step, losses)
        self._new_bad += [(state.step, *pair) for pair in batch.bad]
        last = state.step == state.steps
        if state.step % every.every == 0 or last:
            self._log_step()
        if state.step % every.checkpoint == 0 or last:
            self._checkpoint()

    def _next(self, batches: Iterator[Batch]) -> Batch:
        """The next step's batch, once every process has its own; the time spent waiting is the data's."""
        before, batch, failure = time.perf_counter(), None, None
        try:
            batch = next(batches)
        except (UserError, RunError) as error:
            failure = error
        self._waited += time.perf_counter() - before
        self._heed(failure)
        assert batch is not None
        return batch

    def _heed(self, failure: UserError | RunError | None) -> None:
        """Go on together, or end together; where any process was asked to stop, with a checkpoint."""
        received = self.world.heard(self.stop.received, failure)
        if received:
            self._checkpoint()
            self.world.raise_on_all(
                Interrupted(
                    f"stopped by {received} at step {self.state.step} of {self.state.steps}; "
                    f"go on with: {self._again} resume={self.folder}"
                )
            )

    def _log_step(self) -> None:
        self._settle_bad()
        losses = self._checked()
        state = self.state
        now, (since, step) = time.perf_counter(), self._interval
        record = {
            **self._place(state.step),
            "loss": sum(losses.values()),
            "losses": losses,
            "lr": state.learning_rate,
            "samples_per_second": (state.step - step) * state.keys.batch_size / (now - since),
            "data_wait": self._waited / (now - since),
        }
        self._interval, self._waited = (now, state.step), 0.0
        self.log.write(record)
        self.display.show(step_state(record))
        if not self.display.console.is_terminal:
            left = (now - self._started) / (state.step - self._first_step) * (state.steps - state.step)
            whole = round(state.steps * state.keys.batch_size / self.task.count)
            epochs = max(whole, record["epoch"] + 1)  # the last step may reach into one more
            self.display.say(step_line(record, epochs=epochs, steps=state.steps, seconds_left=left))

    def _place(self, step: int) -> dict[str, Any]:
        """How a record of the log begins."""
        before = (step - 1) * self.state.keys.batch_size
        return {"step": step, "epoch": before // self.task.count, "samples": step * self.state.keys.batch_size}

    def _checked(self, *, weights: bool = False) -> dict[str, float]:
        """The last step's losses, where they, those before, and the weights are numbers."""
        try:
            losses = self._losses.checked()
            if weights:
                check_weights(self.state.network, self.state.step)
        except RunError as error:
            where = f"{self._last_checkpoint()}; see {self.log.path}"
            self.world.raise_on_all(RunError(f"{error}; {where}, then try a lower learning rate or precision=float32"))
        return losses

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
                self.log.write({**self._place(step), "bad": [list(pair) for pair in new]})
        self._new_bad = []

    def _checkpoint(self) -> None:
        """All settle what belongs into it, the first writes it, all wait."""
        self._settle_bad()
        self._checked(weights=True)
        self.world.agreed(self._write_checkpoint)

    def _write_checkpoint(self) -> None:
        if self.world.is_first:
            extra = {
                "seconds": self.seconds,
                "bad": [list(pair) for pair in self.bad],
                "facts": dict(self.task.facts),
                "processes": self.world.size,
                "recipe": self.state.keys.dotted(),
            }
            save_checkpoint(self.folder / "checkpoints", self.state.step, {**self.state.state_dict(), **extra})

    def _last_checkpoint(self) -> str:
        path = newest_checkpoint(self.folder / "checkpoints")
        return f"the last good checkpoint is {path}" if path else "there is no checkpoint yet"
