"""How a long run goes on: which run and which keys were asked for, and the state it has left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from ladder_hub.errors import UserError
from ladder_hub.runtime.checkpoint import CheckpointError, newest_checkpoint


class RunKeys(Protocol):
    """What is asked of a recipe here, whatever it is a recipe of."""

    @property
    def out(self) -> str:
        """The run's folder."""
        ...

    @property
    def precision(self) -> str:
        """As asked for; `auto` until the run knows its machine."""
        ...

    def dotted(self) -> dict[str, Any]:
        """Every key with its value."""
        ...

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """The same with other values."""
        ...


Keys = TypeVar("Keys", bound=RunKeys)
Read = Callable[[str, Sequence[str]], Keys]
"""From a recipe's name or path, and overrides, to the recipe."""


@dataclass(frozen=True)
class Asked(Generic[Keys]):
    """What was asked for: a recipe, and the folder of the run that goes on, None where one starts."""

    recipe: Keys
    folder: Path | None = None


def asked_for(
    read: Read[Keys], recipe: str, overrides: Sequence[str], resume: str | Path | None, *, safe: Sequence[str]
) -> Asked[Keys]:
    """Read the recipe, or that of the run to go on with.

    Args:
        read: how recipes of this kind are read.
        recipe: a recipe's name or path; not used with `resume=FOLDER`.
        overrides: `key=value`.
        resume: the folder of a run; `auto`: the one in `out`, where there is one; None: start.
        safe: keys that may differ from the run's, since they don't decide the numbers.

    Raises:
        UserError: no run there, or keys that can't change.
    """
    if resume is None:
        return Asked(read(recipe, overrides))
    if str(resume) == "auto":
        return _auto(read, read(recipe, overrides), safe)
    folder = _run_of(Path(resume).expanduser())
    before = _recipe_of(read, folder)
    now = read(str(folder / "recipe.toml"), overrides)
    _check_changes(before, now, safe)
    return Asked(now, folder)


def last_state(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest sound checkpoint of a run; None where it begins anew, which `say` is told."""
    path = newest_checkpoint(folder / "checkpoints", say)
    if path is None:
        say(f"{folder} has no checkpoint yet: it starts at step 0")
    return path


def _auto(read: Read[Keys], now: Keys, safe: Sequence[str]) -> Asked[Keys]:
    """Go on with the run in `out`, or start it: what a scheduler can repeat."""
    if not now.out:
        raise UserError("resume=auto needs out=FOLDER, the same each time")
    folder = _run_of(Path(now.out).expanduser())
    if not (folder / "recipe.toml").is_file():
        return Asked(now)
    before = _recipe_of(read, folder)
    if now.precision == "auto":  # the run's recipe holds what it came to
        now = now.model_copy(update={"precision": before.precision})
    _check_changes(before, now, safe)
    return Asked(now, folder)


def _recipe_of(read: Read[Keys], folder: Path) -> Keys:
    if not (folder / "recipe.toml").is_file():
        raise CheckpointError(f"resume={folder}: no run there (it has no recipe.toml)")
    return read(str(folder / "recipe.toml"), ())


def _run_of(folder: Path) -> Path:
    """The run itself where its artifact was named: nothing is ever trained into a published folder."""
    if not (folder / "config.json").is_file() or (folder / "checkpoints").is_dir():
        return folder
    run = folder.resolve().parent  # of `.` too
    if (run / "recipe.toml").is_file() and (run / "checkpoints").is_dir():
        return run
    raise CheckpointError(
        f"{folder} is a published model, not a run; train from it with init={folder} and another out="
    )


def check_began_so(state: Mapping[str, Any], now: RunKeys, safe: Sequence[str], say: Callable[[str], None]) -> None:
    """Hold a run's keys against those that its checkpoint was written with: recipe.toml may have been edited since.

    Raises:
        UserError: another value of a key that decides the numbers.
    """
    if "recipe" not in state:
        say("its checkpoint does not say which recipe the run began with: recipe.toml is believed")
        return
    _check_equal(state["recipe"], now.dotted(), safe)


def _check_changes(before: RunKeys, now: RunKeys, safe: Sequence[str]) -> None:
    _check_equal(before.dotted(), now.dotted(), safe)


def _check_equal(old: Mapping[str, Any], new: Mapping[str, Any], safe: Sequence[str]) -> None:
    changed = [key for key in old if key in new and old[key] != new[key] and key not in safe]
    if changed:
        told = ", ".join(f"{key} (it was {old[key]!r}, now {new[key]!r})" for key in changed)
        raise UserError(f"can't change when a run goes on: {told}; only {', '.join(safe)} can")
