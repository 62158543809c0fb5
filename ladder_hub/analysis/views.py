"""`analyse views`: how far apart a network puts two augmented views of one image, stage by stage (the paper's Fig. 3).

Shapes: n images, C channels of a stage.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from ladder_hub.analysis.images import ImageData, open_images, own_recipe, run_recipe
from ladder_hub.analysis.views_result import ModelViews, Pairs, StageViews, ViewsAnalysis
from ladder_hub.backbone import STAGE_NAMES, pyramid
from ladder_hub.data.photometric import augment, normalise
from ladder_hub.data.sources import Source
from ladder_hub.downstream.features import pooled
from ladder_hub.downstream.subject import Subject, open_subject
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.settings import Section, settings_from
from ladder_hub.training.inputs import two_views
from ladder_hub.training.layout import Layout

_BASE = "byol_200e"  # its [views] are those of recipes/base.toml

Count = Annotated[int, Field(ge=1)]


class ViewsSettings(Section):
    """What `analyse views` takes."""

    data: ImageData = ImageData()
    n: Annotated[int, Field(ge=2)] = 256
    """Images; all there are where there are fewer."""
    recipe: str = ""
    """Whose views: a recipe's name or file. Empty: that of the first MODEL that ladder-hub trained, else BYOL's."""
    image_size: Annotated[int, Field(ge=0)] = 0
    """Side of a view in pixels, for every model; 0: the recipe's, of BYOL's views the first network's own."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the views, of which images are taken, and of `random:`."""
    batch_size: Count = 64
    device: str = "auto"


def analyse_views(
    models: Sequence[str], overrides: Sequence[str] = (), *, console: Console | None = None
) -> ViewsAnalysis:
    """Distances between the representations of two views of the same image, at res2..res5 of every model.

    All models see the same views: crops and photometric augmentation of one recipe, at one size, a function of the
    seed. Networks are in eval mode (running statistics), so no image's representation depends on the others'.

    Args:
        models: whatever `open_subject` takes, `random:X` among them.
        overrides: `key=value` for the keys of `ViewsSettings`: data.images, n, recipe, seed, ...
        console: where progress goes; None: standard error.

    Raises:
        UserError: an unknown key, no images, a model that can't be had.
        RunError: the images can't be decoded.
    """
    settings = settings_from(ViewsSettings, overrides)
    if not models:
        raise UserError("analyse views takes at least one MODEL")
    world = World()
    world.use_device(settings.device)
    subjects = [open_subject(model, seed=settings.seed) for model in models]
    runs = (run_recipe(subject.artifact) for subject in subjects)
    source = open_images(settings.data, (recipe for recipe in runs if recipe))
    if len(source) < 2:
        raise UserError(f"data.images={source.spec} has one image; the distance to another is needed too")
    recipe = _policy(settings, subjects)
    with Display(console or Console(file=sys.stderr)) as display:
        maps = _representations(subjects, source, recipe, settings, world, display)
    found = tuple(
        ModelViews(subject.name, subject.weights, tuple(_stage(name, *views[name]) for name in STAGE_NAMES))
        for subject, views in zip(subjects, maps, strict=True)
    )
    views = {"recipe": recipe.name, "image_size": recipe.data.image_size, "seed": recipe.seed}
    policy = recipe.views.model_dump(mode="json", exclude={"preview"})
    return ViewsAnalysis(found, min(settings.n, len(source)), source.fingerprint(), views | policy)


def _policy(settings: ViewsSettings, subjects: Sequence[Subject]) -> Recipe:
    """The recipe whose views all models see."""
    own = next((recipe for subject in subjects if (recipe := own_recipe(subject.artifact))), None)
    size = settings.image_size
    if settings.recipe:
        recipe = load_recipe(settings.recipe)
    elif own:
        recipe = own
    else:
        recipe = load_recipe(_BASE)
        cfg: Any = subjects[0].backbone.pretrained_cfg
        size = size or cfg["input_size"][-1]
    data = recipe.data.model_copy(
        update={"image_size": size or recipe.data.image_size, "workers": settings.data.workers}
    )
    return recipe.model_copy(update={"data": data, "seed": settings.seed})


Views = dict[str, tuple[Tensor, Tensor]]
"""{stage: the pooled maps of view 1 and of view 2, float32 (n, C) each}."""


@torch.inference_mode()
def _representations(
    subjects: Sequence[Subject],
    source: Source,
    recipe: Recipe,
    settings: ViewsSettings,
    world: World,
    display: Display,
) -> list[Views]:
    """Of every model; the views are cut and augmented once."""
    n = min(settings.n, len(source))
    for subject in subjects:
        subject.backbone.eval().to(world.device).to(memory_format=torch.channels_last)
    task = display.task("views", n)
    parts: list[dict[str, tuple[list[Tensor], list[Tensor]]]]
    parts = [{stage: ([], []) for stage in STAGE_NAMES} for _ in subjects]
    batches = two_views(recipe, source, Layout(1, settings.batch_size, 1, "ghost"), world)
    for batch in batches.batches(0, samples=n):
        display.left_out(batch.bad)
        for view, (pixels, chance) in enumerate(zip(batch.views, batch.photometric, strict=True)):
            images = augment(pixels.to(world.device), chance)
            for subject, found in zip(subjects, parts, strict=True):
                for stage, representation in _pooled(subject, images).items():
                    found[stage][view].append(representation)
        task.advance(len(batch.indices))
    task.close()
    return [{stage: (torch.cat(one), torch.cat(two)) for stage, (one, two) in found.items()} for found in parts]


def _pooled(subject: Subject, images: Tensor) -> dict[str, Tensor]:
    """{stage: float32 (B, C)} of images in [0, 1], normalised as this model expects."""
    cfg: Any = subject.backbone.pretrained_cfg
    prepared = normalise(images, mean=cfg["mean"], std=cfg["std"]).contiguous(memory_format=torch.channels_last)
    return {stage: pooled(found, stage, "gap").cpu() for stage, found in pyramid(subject.backbone, prepared).items()}


def _stage(stage: str, one: Tensor, two: Tensor) -> StageViews:
    return StageViews(stage, same=_pairs(one, two), other=_pairs(one, two.roll(-1, 0)))


def _pairs(one: Tensor, two: Tensor) -> Pairs:
    """float32 (n, C) twice. In float64: of two near-equal vectors float32 leaves few digits of a difference."""
    one, two = one.double(), two.double()
    unit = (F.normalize(one, dim=1) - F.normalize(two, dim=1)).norm(dim=1)
    return Pairs((one - two).norm(dim=1).float().numpy(), unit.float().numpy())
