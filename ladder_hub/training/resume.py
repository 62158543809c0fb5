"""How a run goes on: which run and which keys were asked for, and what it has left to go on from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint, newest_checkpoint
from ladder_hub.training.inputs import Inputs

SAFE_ON_RESUME = (
    "data.train",
    "data.val",
    "data.workers",
    "description",
    "device",
    "knn.bank",
    "knn.every",
    "license",
    "log.checkpoint",
    "log.every",
    "name",
    "out",
    "timeout",
)
"""Keys that may change when a run goes on: they don't decide the numbers. (Other images are told by their digest.)"""


@dataclass(frozen=True)
class Asked:
    """What `train` was asked for: a recipe, and the folder of the run that goes on, None where one starts."""

    recipe: Recipe
    folder: Path | None = None


def asked_for(recipe: str, overrides: Sequence[str], resume: str | Path | None) -> Asked:
    """Read the recipe, or that of the run to go on with.

    Raises:
        UserError: none there, or keys that can't change.
    """
    if resume is None:
        return Asked(load_recipe(recipe, overrides))
    if str(resume) == "auto":
        return _auto(load_recipe(recipe, overrides))
    folder = Path(resume).expanduser()
    before = _recipe_of(folder)
    now = load_recipe(str(folder / "recipe.toml"), overrides)
    _check_changes(before, now)
    return Asked(now, folder)


def last_state(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest sound checkpoint of a run; None where it begins anew, which `say` is told."""
    path = newest_checkpoint(folder / "checkpoints", say)
    if path is None:
        say(f"{folder} has no checkpoint yet: it starts at step 0")
    return path


def read_state(path: Path, inputs: Inputs) -> dict[str, Any]:
    """The state in a checkpoint, where it is of these images.

    Raises:
        CheckpointError: it can't be read here, or the run began with other images.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not seen here: a run on several machines needs a folder that all share")
    state = load_checkpoint(path)
    before, now = state["data"], inputs.fingerprint
    if now["digest"] != before["digest"]:
        raise CheckpointError(
            f"data.train={inputs.train.spec} is not what the run began with: {now['count']} images "
            f"(digest {now['digest'][:12]}), then {before['count']} ({before['digest'][:12]})"
        )
    return state


def _auto(now: Recipe) -> Asked:
    """Go on with the run in `out`, or start it: what a scheduler can repeat."""
    if not now.out:
        raise UserError("resume=auto needs out=FOLDER, the same each time")
    folder = Path(now.out).expanduser()
    if not (folder / "recipe.toml").is_file():
        return Asked(now)
    before = _recipe_of(folder)
    if now.precision == "auto":  # the run's recipe holds what it came to
        now = now.model_copy(update={"precision": before.precision})
    _check_changes(before, now)
    return Asked(now, folder)


def _recipe_of(folder: Path) -> Recipe:
    if not (folder / "recipe.toml").is_file():
        raise CheckpointError(f"resume={folder}: no run there (it has no recipe.toml)")
    return load_recipe(str(folder / "recipe.toml"))


def _check_changes(before: Recipe, now: Recipe) -> None:
    old, new = before.dotted(), now.dotted()
    changed = [key for key in old if old[key] != new[key] and key not in SAFE_ON_RESUME]
    if changed:
        told = ", ".join(f"{key} (it was {old[key]!r}, now {new[key]!r})" for key in changed)
        raise UserError(f"can't change when a run goes on: {told}; only {', '.join(SAFE_ON_RESUME)} can")
