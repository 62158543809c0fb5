"""The labelled images that an evaluation teaches and asks with."""

from typing import Annotated, NamedTuple

from pydantic import Field

from ladder_hub.artifact.reading import Artifact
from ladder_hub.data.sources import Source, open_source
from ladder_hub.downstream.knn import check_labels
from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.settings import Section


class EvalData(Section):
    """`[data]`: labelled images; what is left out is taken from the recipe of the run that the model lies in."""

    train: str = ""
    val: str = ""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader threads; -1: one a core, at most 8."""


class Labelled(NamedTuple):
    """Two sets of images with the same classes."""

    train: Source
    val: Source
    classes: int


def open_labelled(asked: EvalData, artifact: Artifact | None) -> Labelled:
    """The images asked for, else those that the model's own run named.

    Raises:
        UserError: a set is not named, can't be opened, has no labels, or the classes differ or are one.
    """
    # An artifact's own recipe names no folders; the run's, one up, does.
    recipe = artifact and artifact.folder.parent / "recipe.toml"
    trained = load_recipe(str(recipe)).data if recipe and recipe.is_file() else EvalData()
    specs = asked.train or trained.train, asked.val or trained.val
    for key, spec in zip(("data.train", "data.val"), specs, strict=True):
        if not spec:
            raise UserError(
                f"{key} is missing: labelled images to learn from and labelled images to classify are needed"
            )
    train, val = open_source(specs[0], split="train"), open_source(specs[1], split="val")
    classes = check_labels(train, val)
    if classes < 2:
        raise UserError(f"data.train={train.spec} has one class: there is nothing to tell apart")
    return Labelled(train, val, classes)
