"""A long supervised run: how it starts or goes on, the loop, how it is judged, and what it leaves.

The folder holds recipe.toml, log.jsonl (and TensorBoard's events), checkpoints/, metrics.json, and what the task
itself writes. The same steps on the same machine give the same bits, in one go or in parts.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from rich.console import Console

from ladder_hub.device import pick_precision
from ladder_hub.downstream.finetune.loop import FinetuneLoop
from ladder_hub.downstream.finetune.settings import SAFE_ON_RESUME, FinetuneKeys, LogKeys
from ladder_hub.downstream.finetune.state import FinetuneState
from ladder_hub.downstream.finetune.task import Batch, Facts, Judge, Task
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint
from ladder_hub.runtime.distributed import World, open_world
from ladder_hub.runtime.folder import new_folder
from ladder_hub.runtime.lock import sole_user
from ladder_hub.runtime.log import NoLog, RunLog
from ladder_hub.runtime.resume import Asked, asked_for, check_began_so, last_state
from ladder_hub.runtime.signals import StopSignals
from ladder_hub.weights import write_whole

__all__ = ["SAFE_ON_RESUME", "Batch", "FinetuneKeys", "Finetuned", "Judge", "LogKeys", "Task", "finetune"]

Keys = TypeVar("Keys", bound=FinetuneKeys)
Say = Callable[[str], None]

_MEETING = 60  # seconds to wait for others that may have failed on the same recipe


@dataclass(frozen=True)
class Finetuned(Generic[Keys]):
    """A finished run."""

    folder: Path
    recipe: Keys
    metrics: list[Facts]
    """What stands in its metrics.json."""


def finetune(
    read: Callable[[str, Sequence[str]], Keys],
    build: Callable[[Keys, World, Say], Task],
    recipe: str = "",
    overrides: Sequence[str] = (),
    *,
    resume: str | Path | None = None,
    safe: Sequence[str] = SAFE_ON_RESUME,
    again: str,
    console: Console | None = None,
) -> Finetuned[Keys] | None:
    """Fine-tune to the last step, judge, and leave it all in the run's folder.

    Under torchrun or srun every process calls it, and they train together.

    Args:
        read: reads the verb's recipes: (name or path, overrides) to its keys.
        build: from the keys (device and precision settled) to the task; every process calls it, and `say` takes
            lines for people.
        recipe: a shipped recipe's name or the path of a TOML file; left out with `resume=FOLDER`.
        overrides: `key=value`.
        resume: the folder of an interrupted run, or `auto`: the one in `out`, where there is one.
        safe: keys that may differ from the run's when it goes on.
        again: the command that goes on with a run, up to its `resume=`, for messages.
        console: where progress and messages go; None: standard error.

    Returns:
        The run; None on all processes but the first.

    Raises:
        UserError: recipe, data, model or folder can't be used; nothing was started.
        RunError: the run failed or was interrupted; the message names the last good checkpoint.
    """
    asked, failure = None, None
    try:
        asked = asked_for(read, recipe, overrides, resume, safe=safe)
    except UserError as error:
        failure = error
    with open_world(timeout=asked.recipe.timeout if asked else _MEETING) as world:
        if failure:  # told once, by the first, where all have it
            world.agreed(lambda: _raise(failure))
        assert asked is not None
        console = (console or Console(file=sys.stderr)) if world.is_first else Console(quiet=True)
        return _Start(asked, build, world, console, again, safe).run()


class _Start(Generic[Keys]):
    def __init__(
        self,
        asked: Asked[Keys],
        build: Callable[[Keys, World, Say], Task],
        world: World,
        console: Console,
        again: str,
        safe: Sequence[str],
    ) -> None:
        self.asked, self.build, self.world, self.console = asked, build, world, console
        self.again, self.safe = again, safe

    def run(self) -> Finetuned[Keys] | None:
        world = self.world
        keys = world.agreed(self._settled)
        task = world.agreed(lambda: self.build(keys, world, self._say))
        with contextlib.ExitStack() as held:
            path = world.from_first(world.agreed(lambda: self._last_state(held)))
            saved = world.agreed(lambda: self._read_state(path, task, keys) if path else None)
            state = world.agreed(lambda: FinetuneState(task, keys, world))
            if saved:
                state.load_state_dict(saved)
                if saved["processes"] != world.size:
                    self._say(f"it goes on with {world.size} processes instead of {saved['processes']}")
            folder = world.from_first(world.agreed(lambda: self._folder(keys, held)))
            log = RunLog(folder, after=saved["step"] if saved else -1) if world.is_first else NoLog(folder)
            with Display(self.console) as display, StopSignals() as stop:
                display.say(_headline(state, folder))
                loop = FinetuneLoop(
                    state, folder=folder, log=log, display=display, stop=stop, again=self.again, saved=saved
                )
                try:
                    loop.run()
                finally:
                    log.close()
                metrics = task.evaluate(state.network.eval(), Judge(world, display, folder, keys.precision))
            world.agreed(lambda: self._keep(folder, metrics))
        return Finetuned(folder, keys, metrics) if world.is_first else None

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _settled(self) -> Keys:
        """What the machine decides: the device and the precision."""
        keys = self.asked.recipe
        self.world.use_device(keys.device)
        return keys.model_copy(update={"precision": pick_precision(keys.precision, self.world.device)})

    def _last_state(self, held: contextlib.ExitStack) -> Path | None:
        if not (self.world.is_first and self.asked.folder):
            return None
        held.enter_context(sole_user(self.asked.folder))
        return last_state(self.asked.folder, self._say)

    def _read_state(self, path: Path, task: Task, keys: Keys) -> dict[str, Any]:
        if not path.is_file():
            raise CheckpointError(f"{path} is not seen here: a run on several machines needs a folder that all share")
        state = load_checkpoint(path)
        check_began_so(state, keys, self.safe, self._say)
        for key, value in task.facts.items():
            if state["facts"].get(key) != value:
                was = str(state["facts"].get(key))
                raise CheckpointError(f"{key} is not what the run began with: it is {value[:60]}, then {was[:60]}")
        return state

    def _folder(self, keys: Keys, held: contextlib.ExitStack) -> Path:
        """The run's folder with its recipe in it: of the run that goes on, or a new one."""
        if not self.world.is_first:
            return Path()
        try:
            folder = self.asked.folder or new_folder(keys.out, keys.name, again=self.again)
            if not self.asked.folder:
                held.enter_context(sole_user(folder))
            write_whole(folder / "recipe.toml", [keys.to_toml().encode()])
        except OSError as error:
            raise UserError(f"out={keys.out or 'runs'} can't be written: {error.strerror}") from None
        return folder

    def _keep(self, folder: Path, metrics: list[Facts]) -> None:
        if self.world.is_first:
            write_whole(folder / "metrics.json", [(json.dumps(metrics, indent=2) + "\n").encode()])


def _raise(failure: UserError) -> NoReturn:
    raise failure


def _headline(state: FinetuneState, folder: Path) -> str:
    keys, world = state.keys, state.world
    several = f" over {world.size} processes" if world.size > 1 else ""
    at = f", from step {state.step}" if state.step else ""
    return (
        f"{keys.name}: {keys.model}, {keys.precision} on {world.device}\n"
        f"{state.task.count} images, {state.steps} steps of {keys.batch_size}{several}{at} -> {folder}"
    )
