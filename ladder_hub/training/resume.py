"""What may change when a training run goes on, and the state it goes on from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime import resume as runs
from ladder_hub.runtime.checkpoint import CheckpointError, load_checkpoint
from ladder_hub.training.inputs import Inputs

SAFE_ON_RESUME = (
    "checkpoint_activations",
    "compile",
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

Asked = runs.Asked[Recipe]


def asked_for(recipe: str, overrides: Sequence[str], resume: str | Path | None) -> Asked:
    """Read the recipe, or that of the run to go on with.

    Raises:
        UserError: none there, or keys that can't change.
    """
    return runs.asked_for(load_recipe, recipe, overrides, resume, safe=SAFE_ON_RESUME)


def read_state(path: Path, inputs: Inputs, keys: Recipe, say: Callable[[str], None]) -> dict[str, Any]:
    """The state in a checkpoint, where it is of these images and this recipe.

    Raises:
        CheckpointError: it can't be read here, or the run began with other images.
        UserError: it began with another recipe.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not seen here: a run on several machines needs a folder that all share")
    state = load_checkpoint(path)
    runs.check_began_so(state, keys, SAFE_ON_RESUME, say)
    before, now = state["data"], inputs.fingerprint
    if now["digest"] != before["digest"]:
        raise CheckpointError(
            f"data.train={inputs.train.spec} is not what the run began with: {now['count']} images "
            f"(digest {now['digest'][:12]}), then {before['count']} ({before['digest'][:12]})"
        )
    if state.get("sample", inputs.sample) != inputs.sample:
        raise CheckpointError(
            f"data.train={inputs.train.spec} is not what the run began with: images of the same names were written anew"
        )
    return state
