"""A run: how it starts, the loop, and what it leaves."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ladder_hub.artifact import read_artifact
from ladder_hub.device import pick_device, pick_precision
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.training.checkpoint import CheckpointError, load_checkpoint, newest_checkpoint
from ladder_hub.training.inputs import Inputs, open_inputs, write_preview
from ladder_hub.training.log import RunLog
from ladder_hub.training.loop import Loop
from ladder_hub.training.provenance import provenance
from ladder_hub.training.result import measure, publish
from ladder_hub.training.signals import StopSignals
from ladder_hub.training.state import TrainState, build_learner
from ladder_hub.weights import write_whole

SAFE_ON_RESUME = ("device", "data.val", "data.workers", "knn.every", "knn.bank", "log.every", "log.checkpoint")
"""Keys that may change when a run goes on: they don't decide the numbers."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    recipe: Recipe
    metrics: list[dict[str, Any]]
    """The entries of the artifact's metrics.json."""

    @property
    def artifact(self) -> Path:
        """The folder that `create_model` takes and that is published."""
        return self.folder / "artifact"


def train(
    recipe: str = "",
    overrides: Sequence[str] = (),
    *,
    resume: str | Path | None = None,
    console: Console | None = None,
) -> Run | None:
    """Train a recipe to its end and write the run's folder with its artifact.

    Args:
        recipe: a shipped recipe's name or the path of a TOML file; left out with `resume`.
        overrides: `key=value`, dotted for nested keys: `["data.train=/my/images", "epochs=50"]`.
        resume: the folder of an interrupted run, to go on with; only the keys in `SAFE_ON_RESUME` may change.
        console: where progress and messages go; None: standard error.

    Returns:
        The run; None where `views.preview` asked only for a picture of the views.

    Raises:
        UserError: the recipe, the data, the model or the folder can't be used; nothing was started.
        RunError: the run failed or was interrupted; the message names the last good checkpoint.
    """
    console = console or Console(file=sys.stderr)
    # ---- how it starts: go on with a run; else anew, from `init` or at random ----
    _refuse_many_processes()
    folder = Path(resume).expanduser() if resume else None
    saved = _saved(folder) if folder else None
    keys = load_recipe(str(folder / "recipe.toml"), _safe(overrides)) if folder else load_recipe(recipe, overrides)
    if keys.views.preview:
        count = write_preview(keys)
        console.print(f"{keys.views.preview}: {count} images and their views", highlight=False, markup=False)
        return None
    device = pick_device(keys.device)
    keys = keys.model_copy(update={"precision": pick_precision(keys.precision, device)})
    inputs = open_inputs(keys)
    if saved:
        _check_same_images(saved["data"], inputs)
    facts = provenance(device)  # now: the checkout may have moved on when the run ends
    # A checkpoint holds all that `init` gave: a run goes on without it.
    begun = keys.model_copy(update={"init": ""}) if saved else keys
    learner = build_learner(begun, say=lambda line: console.print(line, highlight=False, markup=False))
    state = TrainState(keys, learner, device, steps_per_epoch=inputs.steps_per_epoch(keys.batch_size))
    folder = folder or _new_folder(keys)
    # ---- the loop ----
    log = RunLog(folder, after=saved["step"] if saved else -1)
    if saved:
        state.load_state_dict(saved)
    with Display(console) as display, StopSignals() as stop:
        display.say(_headline(keys, state, inputs, folder))
        loop = Loop(state, inputs, folder=folder, log=log, display=display, stop=stop, saved=saved)
        try:
            loop.run()
        finally:
            log.close()
        # ---- what it leaves ----
        publish(loop, facts)
        if inputs.val is not None:
            measure(loop, inputs.val)
    return Run(folder, keys, read_artifact(folder / "artifact").metrics)


def _refuse_many_processes() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("training on several processes is not built yet: start one process, without torchrun")


def _saved(folder: Path) -> dict[str, Any]:
    if not (folder / "recipe.toml").is_file():
        raise CheckpointError(f"resume={folder}: no run there (it has no recipe.toml)")
    path = newest_checkpoint(folder / "checkpoints")
    if path is None:
        raise CheckpointError(f"resume={folder}: it left no checkpoint; start it anew from {folder / 'recipe.toml'}")
    return load_checkpoint(path)


def _check_same_images(before: dict[str, Any], inputs: Inputs) -> None:
    now = inputs.fingerprint
    if now["digest"] != before["digest"]:
        raise CheckpointError(
            f"data.train={inputs.train.spec} is not what the run began with: {now['count']} images "
            f"(digest {now['digest'][:12]}), then {before['count']} ({before['digest'][:12]})"
        )


def _safe(overrides: Sequence[str]) -> Sequence[str]:
    for override in overrides:
        key = override.partition("=")[0]
        if key not in SAFE_ON_RESUME:
            raise UserError(f"{key} can't change when a run goes on; only {', '.join(SAFE_ON_RESUME)} can")
    return overrides


def _new_folder(recipe: Recipe) -> Path:
    """The run's folder with its recipe in it: `out`, which must be new, or the next free runs/<name>."""
    try:
        folder = _claimed(Path(recipe.out).expanduser()) if recipe.out else _next_free(Path("runs") / recipe.name)
        write_whole(folder / "recipe.toml", [recipe.to_toml().encode()])
    except OSError as error:
        raise UserError(f"out={recipe.out or 'runs'} can't be written: {error.strerror}") from None
    return folder


def _claimed(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UserError(
            f"out={folder} exists; name another folder, or go on with its run: ladder-hub train resume={folder}"
        )
    return folder


def _next_free(folder: Path) -> Path:
    number = 1
    while True:
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return candidate


def _headline(recipe: Recipe, state: TrainState, inputs: Inputs, folder: Path) -> str:
    ladder = ", ".join(f"{level.name} x {level.weight:g}" for level in recipe.ladder)
    split = f" as {recipe.accumulation} x {recipe.micro_batch}" if recipe.accumulation > 1 else ""
    at = f", from step {state.step}" if state.step else ""
    return (
        f"{recipe.name}: {recipe.method} ({ladder}) on {recipe.model.backbone}, {recipe.precision} on {state.device}\n"
        f"{len(inputs.train)} images, {recipe.epochs} epochs, {state.steps} steps of {recipe.batch_size}{split}, "
        f"learning rate {recipe.learning_rate:g}{at} -> {folder}"
    )
