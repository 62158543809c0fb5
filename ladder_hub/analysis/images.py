"""The images that an analysis looks at; no labels are needed."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from ladder_hub.artifact.reading import Artifact
from ladder_hub.data.image_source import DataError
from ladder_hub.data.sources import Source, open_source
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.settings import Section


class ImageData(Section):
    """`[data]`: what is left out is taken from the first run among the models: its data.val, else its data.train."""

    images: str = ""
    """A folder, tar shards, hf:org/name, shapes; labels are not looked at."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader threads; -1: one a core, at most 8."""


def open_images(asked: ImageData, recipes: Iterable[Recipe]) -> Source:
    """The images asked for, else those of the first recipe that names some.

    Raises:
        UserError: none are named, or they can't be opened.
    """
    known = [spec for recipe in recipes for spec in (recipe.data.val, recipe.data.train) if spec]
    spec = asked.images or next(iter(known), "")
    if not spec:
        raise UserError("data.images is missing: a folder of images, tar shards, or shapes")
    try:
        return open_source(spec, split="val")
    except DataError as error:
        raise DataError(str(error).replace("data.val=", "data.images=")) from None


def run_recipe(artifact: Artifact | None) -> Recipe | None:
    """The recipe of the run that an artifact lies in, with the folders of its images; None where there is no run."""
    path = artifact and artifact.folder.parent / "recipe.toml"
    return load_recipe(str(path)) if path and path.is_file() else None


def own_recipe(artifact: Artifact | None) -> Recipe | None:
    """The recipe that an artifact was trained by; None where ladder-hub didn't train it."""
    if artifact is None or not artifact.recipe:
        return None
    return load_recipe(str(artifact.folder / "recipe.toml"))
