"""A run: how it starts, the loop, and what it leaves."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ladder_hub.artifact.reading import read_artifact
from ladder_hub.data.look import look_first
from ladder_hub.data.sources import StreamSource
from ladder_hub.device import pick_precision
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.distributed import World, open_world
from ladder_hub.runtime.folder import new_folder
from ladder_hub.runtime.lock import sole_user
from ladder_hub.runtime.log import NoLog, RunLog
from ladder_hub.runtime.resume import last_state
from ladder_hub.runtime.signals import StopSignals
from ladder_hub.training.inputs import Inputs, open_inputs, write_preview
from ladder_hub.training.layout import Layout, lay_out
from ladder_hub.training.length import steps_an_epoch
from ladder_hub.training.loop import Loop
from ladder_hub.training.provenance import provenance
from ladder_hub.training.result import measure, publish
from ladder_hub.training.resume import Asked, asked_for, read_state
from ladder_hub.training.scoring import score_if_due
from ladder_hub.training.state import TrainState, build_learner
from ladder_hub.weights import write_whole

_MEETING = 60  # seconds to wait for others that may have failed on the same recipe


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

    Under torchrun or srun every process calls it, and they train together.

    Args:
        recipe: a shipped recipe's name or the path of a TOML file; left out with `resume=FOLDER`.
        overrides: `key=value`, dotted for nested keys: `["data.train=/my/images", "epochs=50"]`.
        resume: the folder of an interrupted run, to go on with; or `auto`: with the one in `out`, where there is
            one, else start it. Only the keys in `SAFE_ON_RESUME` may differ from the run's.
        console: where progress and messages go; None: standard error.

    Returns:
        The run; None where `views.preview` asked only for a picture of the views, and on all processes but the first.

    Raises:
        UserError: the recipe, the data, the model or the folder can't be used; nothing was started.
        RunError: the run failed or was interrupted; the message names the last good checkpoint.
    """
    asked, failure = None, None
    try:
        asked = asked_for(recipe, overrides, resume)
    except UserError as error:
        failure = error
    with open_world(timeout=asked.recipe.timeout if asked else _MEETING) as world:
        if failure:  # told once, by the first, where all have it
            world.agreed(lambda: _raise(failure))
        assert asked is not None
        console = (console or Console(file=sys.stderr)) if world.is_first else Console(quiet=True)
        if asked.recipe.views.preview:
            return world.agreed(lambda: _preview(asked.recipe, world, console))
        return _train(asked, world, console)


def _train(asked: Asked, world: World, console: Console) -> Run | None:
    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    # ---- how it starts: go on with a run; else anew, from `init` or at random ----
    keys, layout = world.agreed(lambda: _settled(asked.recipe, world))
    inputs = _opened(keys, world, say)
    with contextlib.ExitStack() as held:
        before = asked.folder if world.is_first else None
        path = world.agreed(lambda: _last_state(before, held, say) if before else None)
        path = world.from_first(path)
        saved = world.agreed(lambda: read_state(path, inputs, keys, say) if path else None)
        facts = provenance(world.device)  # now: the checkout may have moved on when the run ends
        # A checkpoint holds all that `init` gave: a run goes on without it.
        begun = keys.model_copy(update={"init": ""}) if saved else keys
        learner = world.agreed(lambda: build_learner(begun, say=say))
        steps = steps_an_epoch(keys, len(inputs.train))
        state = world.agreed(lambda: TrainState(keys, learner, world, layout, steps_per_epoch=steps, say=say))
        if saved:
            state.load_state_dict(saved)
            if saved["processes"] != world.size:
                say(f"it goes on with {world.size} processes instead of {saved['processes']}")
        folder = world.from_first(world.agreed(lambda: _folder(keys, asked, world, held)))
        inputs = _looked_at(inputs, keys, world, say)
        if world.is_first:
            _ = inputs.sample  # of the images as they are now, not as they are when the first checkpoint is written
        log = RunLog(folder, after=saved["step"] if saved else -1) if world.is_first else NoLog(folder)
        # ---- the loop ----
        with Display(console) as display, StopSignals() as stop:
            display.say(_headline(keys, state, inputs, folder, world))
            loop = Loop(state, inputs, world, folder=folder, log=log, display=display, stop=stop, saved=saved)
            try:
                for _ in loop.run():
                    score_if_due(loop)
            finally:
                log.close()
            # ---- what it leaves ----
            world.agreed(lambda: publish(loop, facts))
            if inputs.val is not None:
                measure(loop, inputs.val)
    return Run(folder, keys, read_artifact(folder / "artifact").metrics) if world.is_first else None


def _raise(failure: UserError) -> None:
    raise failure


def _preview(recipe: Recipe, world: World, console: Console) -> None:
    if world.is_first:
        count = write_preview(recipe)
        console.print(f"{recipe.views.preview}: {count} images and their views", highlight=False, markup=False)


def _opened(recipe: Recipe, world: World, say: Callable[[str], None]) -> Inputs:
    """The first process of all, then the first of each machine, then the rest: the index waits in the cache."""
    turn = 0 if world.is_first else 1 if world.place.local_rank == 0 else 2
    inputs: Inputs | None = None
    for now in range(3 if world.size > 1 else 1):
        found = world.agreed(lambda now=now: open_inputs(recipe, say=say) if turn == now else None)  # type: ignore[misc]
        inputs = inputs or found
    assert inputs is not None
    return inputs


def _looked_at(inputs: Inputs, recipe: Recipe, world: World, say: Callable[[str], None]) -> Inputs:
    """The first process tells which images kNN would ask that also vote."""
    train, val = inputs.train, inputs.val
    if val is None or isinstance(train, StreamSource):
        return inputs
    workers = recipe.data.workers
    found = world.agreed(lambda: look_first(train, val, say, workers=workers) if world.is_first else None)
    return replace(inputs, overlap=found)


def _settled(recipe: Recipe, world: World) -> tuple[Recipe, Layout]:
    """What the machine decides: the device, the precision, and how the batch is laid over processes."""
    world.use_device(recipe.device)
    keys = recipe.model_copy(update={"precision": pick_precision(recipe.precision, world.device)})
    layout = lay_out(
        batch_size=keys.batch_size, micro_batch=keys.micro_batch, batch_norm=keys.batch_norm, processes=world.size
    )
    return keys, layout


def _last_state(folder: Path, held: contextlib.ExitStack, say: Callable[[str], None]) -> Path | None:
    held.enter_context(sole_user(folder))
    return last_state(folder, say)


def _folder(recipe: Recipe, asked: Asked, world: World, held: contextlib.ExitStack) -> Path:
    """The run's folder with its recipe in it: of the run that goes on, or a new one."""
    if not world.is_first:
        return Path()
    try:
        folder = asked.folder or new_folder(recipe.out, recipe.name, again="ladder-hub train")
        if not asked.folder:
            held.enter_context(sole_user(folder))
        write_whole(folder / "recipe.toml", [recipe.to_toml().encode()])
    except OSError as error:
        raise UserError(f"out={recipe.out or 'runs'} can't be written: {error.strerror}") from None
    return folder


def _headline(recipe: Recipe, state: TrainState, inputs: Inputs, folder: Path, world: World) -> str:
    ladder = ", ".join(f"{level.name} x {level.weight:g}" for level in recipe.ladder)
    at = f", from step {state.step}" if state.step else ""
    return (
        f"{recipe.name}: {recipe.method} ({ladder}) on {recipe.model.backbone}, {recipe.precision} on {state.device}\n"
        f"{len(inputs.train)} images, {recipe.epochs} epochs, {state.steps} steps of {recipe.batch_size} "
        f"as {state.layout}, learning rate {recipe.learning_rate:g}{at} -> {folder}"
    )
