"""How long a run is, in images and steps."""

from dataclasses import dataclass

from ladder_hub.data.sources import Source, is_stream, open_source, public_spec
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe

IMAGENET = 1_281_167
"""Training images of ImageNet-1k."""


@dataclass(frozen=True)
class Length:
    """Images and optimiser steps."""

    samples: int
    """Images that the training set holds; what is over a whole number of batches is left out of an epoch."""
    steps_an_epoch: int
    steps: int
    warmup_steps: int


def known_images(recipe: Recipe) -> tuple[Source | None, str]:
    """The training set, if it is here, and else what has to be assumed. Nothing is downloaded."""
    spec = recipe.data.train
    assumed = f"{IMAGENET:,} images, those of ImageNet-1k"
    if not spec:
        return None, f"data.train is not given: {assumed}"
    if is_stream(spec):
        told = f"data.train={public_spec(spec)} is a stream, which is not read to plan"
        return None, f"{told}: data.samples = {recipe.data.samples:,}" if recipe.data.samples else f"{told}: {assumed}"
    if spec.startswith("hf:"):
        return None, f"data.train={spec} is not downloaded to plan: {assumed}"
    try:
        return open_source(spec, split="train"), ""
    except UserError as error:
        return None, f"{error}: {assumed}"


def length(recipe: Recipe, known: int | None) -> Length:
    """Steps over a training set of so many images, as the run counts them; where unknown, a stream's or ImageNet's.

    Raises:
        UserError: fewer images than a batch, or a warm-up that leaves no step.
    """
    samples = (recipe.data.samples or IMAGENET) if known is None else known
    an_epoch = steps_an_epoch(recipe, samples)
    return Length(samples, an_epoch, recipe.epochs * an_epoch, warmup_steps(recipe, an_epoch))


def steps_an_epoch(recipe: Recipe, samples: int) -> int:
    """Whole batches in a training set of so many images; the rest of an epoch's order is left out.

    Raises:
        UserError: there is none.
    """
    if samples < recipe.batch_size:
        half = 2 ** (max(samples, 2).bit_length() - 1)
        raise UserError(
            f"data.train={recipe.data.train} has {samples} images, fewer than batch_size = {recipe.batch_size}: "
            f"try batch_size={half}"
        )
    return samples // recipe.batch_size


def warmup_steps(recipe: Recipe, an_epoch: int) -> int:
    """Steps of the warm-up, with `an_epoch` steps an epoch.

    Raises:
        UserError: they leave none for training.
    """
    steps, warmup = recipe.epochs * an_epoch, round(recipe.optim.warmup_epochs * an_epoch)
    if warmup >= steps:
        raise UserError(
            f"optim.warmup_epochs = {recipe.optim.warmup_epochs} leaves none of the {steps} steps for training; "
            "make it shorter"
        )
    return warmup
