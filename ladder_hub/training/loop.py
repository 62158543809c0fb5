"""The loop: step, look, log, measure, checkpoint; and every reason to stop before the end."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ladder_hub.data.loader import BadLedger, Batch, TwoViews
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.knn import Score, evaluate_knn
from ladder_hub.errors import RunError
from ladder_hub.progress import Display, Task, step_line, step_state
from ladder_hub.siamese.learner import Output
from ladder_hub.training.checkpoint import newest_checkpoint, save_checkpoint
from ladder_hub.training.inputs import Inputs, two_views
from ladder_hub.training.log import RunLog
from ladder_hub.training.monitors import Spread, spread
from ladder_hub.training.signals import Interrupted, StopSignals
from ladder_hub.training.state import TrainState
from ladder_hub.training.watch import Watch


class Loop:
    """Trains `state` to its last step, writing into `folder`; `saved` is the checkpoint that it goes on from."""

    def __init__(
        self,
        state: TrainState,
        inputs: Inputs,
        *,
        folder: Path,
        log: RunLog,
        display: Display,
        stop: StopSignals,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        self.state, self.inputs, self.folder, self.log, self.display = state, inputs, folder, log, display
        self.recipe = state.recipe
        self._stop = stop
        saved = saved or {"seconds": 0.0, "bad": [], "low": {}}
        self.bad = [(key, reason) for key, reason in saved["bad"]]
        self._ledger = BadLedger(len(inputs.train), self.recipe.data.max_bad)
        self._ledger.add(self.bad)
        self._seconds_before = saved["seconds"]
        self._first_step = state.step
        self._watch = Watch(state.learner, saved["low"])
        self._waited = 0.0
        self._interval = time.perf_counter(), state.step

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, over all its parts."""
        return self._seconds_before + time.perf_counter() - self._started

    def run(self) -> None:
        """To the last step.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the checkpoint of this very step is written.
            RunError: a loss is no number, a level collapsed and `on_collapse` is stop, or the data went bad.
        """
        self._started = time.perf_counter()
        self._interval = self._started, self.state.step
        state = self.state
        views = two_views(self.recipe, self.inputs.train, state.device)
        task = self.display.task("train", state.steps, state.step, lines=False)
        try:
            while state.step < state.steps:
                self._between_epochs()
                self._epoch(views, task)
        except torch.OutOfMemoryError:
            raise RunError(
                f"{state.device} ran out of memory after step {state.step}; {self._last_checkpoint()}; "
                f"start anew with a micro_batch below {self.recipe.micro_batch}"
            ) from None
        task.close()
        self.display.show("")

    def _epoch(self, views: TwoViews, task: Task) -> None:
        """The rest of the epoch that the state stands in."""
        state, recipe = self.state, self.recipe
        done = state.step % state.steps_per_epoch
        batches = views.batches(
            state.epoch, samples=state.steps_per_epoch * recipe.batch_size, start=done * recipe.batch_size
        )
        for micro_batches in self._waiting(batches):
            output = state.advance(micro_batches)
            self._note_bad(micro_batches)
            self._watch.note(state.step, output.losses)
            if state.step % recipe.log.every == 0 or state.step == state.steps:
                self._log_step(output, task)
            task.advance()
            if self._stop.received:
                self._interrupt()
        if state.epoch % recipe.log.checkpoint == 0 or state.step == state.steps:
            self._checkpoint()

    def _between_epochs(self) -> None:
        """The online kNN that is due here, unless the part of the run before this one has logged it."""
        state, every = self.state, self.recipe.knn.every
        due = every and state.step and state.step % (every * state.steps_per_epoch) == 0
        if due and not any("knn" in record and record["step"] == state.step for record in self.log.records):
            self._log_knn()

    def _waiting(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, ...]]:
        """The micro-batches of each step; the time spent waiting for them is the data's."""
        groups = zip(*[batches] * self.recipe.accumulation, strict=True)
        while True:
            before = time.perf_counter()
            try:
                group = next(groups, None)
            except RunError:
                # A signal to the whole process group may end the loader's processes before this one looks.
                if self._stop.received:
                    self._interrupt()
                raise
            self._waited += time.perf_counter() - before
            if group is None:
                return
            yield group

    def _note_bad(self, micro_batches: tuple[Batch, ...]) -> None:
        new = self._ledger.add([pair for batch in micro_batches for pair in batch.bad])
        self.display.left_out(new)
        if new:
            self.bad += new
            self.log.write({**self._place(), "bad": [list(pair) for pair in new]})

    def _log_step(self, output: Output, task: Task) -> None:
        state = self.state
        self._check(weights=False)
        spreads = {name.replace("_", "."): spread(p) for name, p in output.projections.items()}
        now, (since, step) = time.perf_counter(), self._interval
        record = {
            **self._place(),
            "loss": state.learner.total(output.losses).item(),
            "losses": {name: loss.item() for name, loss in output.losses.items()},
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

    def _place(self) -> dict[str, Any]:
        state = self.state
        return {"step": state.step, "epoch": (state.step - 1) // state.steps_per_epoch, "samples": state.samples}

    def _check_spread(self, spreads: dict[str, Spread]) -> None:
        for line in self._watch.newly_collapsed(self.state.step, spreads):
            if self.recipe.on_collapse == "stop":
                raise RunError(f"{line}; {self._last_checkpoint()}; see {self.log.path}")
            self.display.say(f"warning: {line} (on_collapse=stop ends the run here)")

    def _log_knn(self) -> None:
        if self.inputs.val is None:
            return
        score = self.measure(self.state.learner.online.backbone, "kNN", bank=self.recipe.knn.bank)
        self.log.write({**self._place(), "knn": {"top1": score.top1, "top5": score.top5}})
        self.display.say(f"epoch {self.state.epoch}: kNN top-1 {score.top1:.1%} (n = {score.n})")
        self._interval, self._waited = (time.perf_counter(), self.state.step), 0.0

    def measure(self, backbone: torch.nn.Module, name: str, *, bank: int | None = None) -> Score:
        """Score res5 by kNN under the recipe's protocol; with `bank`, only so many training images vote."""
        train, val = self.inputs.train, self.inputs.val
        assert val is not None
        keys = self.recipe
        total = min(bank or len(train), len(train)) + len(val)
        task = self.display.task(name, total)

        def advance(images: int) -> None:
            task.advance(images)
            if self._stop.received:
                self._interrupt()

        extractor = Extractor(
            size=keys.data.image_size,
            crop_pct=keys.data.crop_pct,
            device=self.state.device,
            workers=keys.data.workers,
            advance=advance,
            skip=self.display.left_out,
        )
        (score,) = evaluate_knn(
            backbone, train, val, extractor, k=keys.knn.k, temperature=keys.knn.temperature, bank=bank
        )
        task.close()
        return score

    def _interrupt(self) -> None:
        self._checkpoint()
        raise Interrupted(
            f"stopped by {self._stop.received} at step {self.state.step} of {self.state.steps}; "
            f"go on with: ladder-hub train resume={self.folder}"
        )

    def _check(self, *, weights: bool) -> None:
        try:
            self._watch.check_losses()
            if weights:
                self._watch.check_weights(self.state.step)
        except RunError as error:
            advice = "then try a lower optim.base_lr or precision=float32"
            raise RunError(f"{error}; {self._last_checkpoint()}; see {self.log.path}, {advice}") from None

    def _checkpoint(self) -> None:
        self._check(weights=True)
        extra = {
            "seconds": self.seconds,
            "bad": [list(pair) for pair in self.bad],
            "low": self._watch.low,
            "data": self.inputs.fingerprint,
        }
        save_checkpoint(self.folder / "checkpoints", self.state.step, {**self.state.state_dict(), **extra})

    def _last_checkpoint(self) -> str:
        path = newest_checkpoint(self.folder / "checkpoints")
        return f"the last good checkpoint is {path}" if path else "there is no checkpoint yet"
