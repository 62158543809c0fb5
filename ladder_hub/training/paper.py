"""How far a recipe is from the runs of the paper (arXiv 2211.13844), key by key."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.training.length import IMAGENET

# Tables 1, 4 and 5; each is a shipped recipe, `<method>_<epochs>e`.
SETTINGS = (
    *(("byol", epochs) for epochs in (100, 200, 400)),
    *(("ladder_byol", epochs) for epochs in (100, 200, 400)),
    ("dense_byol", 100),
    ("ladder_dense", 200),
)
STATED = ("method", "levels", "epochs", "batch_size", "learning_rate", "model.backbone", "data.image_size")
"""Keys that the paper gives a value; of the others it says "as BYOL", or nothing."""
EPOCHS, HOURS, DEVICES = 200, 60, "eight A100 of 80 GB"
"""What the paper says of its cost, without naming the method."""

# What changes with the machine, the place and the habit, and not with the experiment.
_ASIDE: tuple[str, ...] = (
    *("name", "description", "license", "seed", "device", "out", "timeout", "precision", "micro_batch", "batch_norm"),
    *("compile", "checkpoint_activations", "on_collapse", "knn.", "log.", "views.preview"),
    *("data.train", "data.val", "data.license", "data.workers", "data.max_bad"),
    "optim.base_lr",  # the learning rate that comes of it is compared
)


@dataclass(frozen=True)
class Difference:
    """One key that has another value than in the nearest setting."""

    key: str
    here: Any
    there: Any
    stated: bool
    """Whether `there` is the paper's word, or our choice where it is silent."""


@dataclass(frozen=True)
class Nearest:
    """The setting of the paper that a recipe is nearest to, and what differs."""

    setting: str
    """Name of the shipped recipe with this setting."""
    near: bool
    """Whether the network and the size of the views are the paper's: otherwise figures can't be compared."""
    differences: tuple[Difference, ...]


def nearest_setting(recipe: Recipe, *, images: int | None) -> Nearest:
    """Same method first, else the ladder that shares most levels; then the nearest length.

    Args:
        recipe: what would be trained.
        images: in the training set; None where that is not known, and taken to be the paper's.
    """
    method, epochs = min(SETTINGS, key=lambda setting: _distance(recipe, *setting))
    other = _setting(method, epochs)
    here, there = _flat(recipe), _flat(other)
    differing = sorted((key for key in here if here[key] != there.get(key)), key=lambda key: (key not in STATED, key))
    found = tuple(Difference(key, here[key], there.get(key), key in STATED) for key in differing)
    if images not in (None, IMAGENET):
        found = (Difference("images", images, IMAGENET, True), *found)
    return Nearest(other.name, not {"model.backbone", "data.image_size"} & set(differing), found)


@cache
def _setting(method: str, epochs: int) -> Recipe:
    return load_recipe(f"{method}_{epochs}e")


def _distance(recipe: Recipe, method: str, epochs: int) -> tuple[float, ...]:
    ladder = {level.name for level in _setting(method, epochs).ladder}
    unlike = len(ladder ^ {level.name for level in recipe.ladder})
    return (recipe.method != method, unlike, abs(math.log(recipe.epochs / epochs)))


def _flat(recipe: Recipe) -> dict[str, Any]:
    keys = recipe.dotted()
    keys["levels"] = [f"{level.name} x {level.weight:g}" for level in recipe.ladder]
    keys["learning_rate"] = recipe.learning_rate
    return {key: value for key, value in keys.items() if not key.startswith(_ASIDE)}
