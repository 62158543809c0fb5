"""`analyse gradients`: where in an image a level's loss changes a lower stage (the paper's Fig. 4).

Of each level above stage s the gradient of its loss with respect to the map z_s of view 1, as training computes it but
in eval mode: absolute values, summed over channels. Shapes: n images, (C, h, w) the map of the lower stage.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from rich.console import Console
from torch import Tensor

from ladder_hub.analysis.gradients_result import GradientsAnalysis, ImageGradients
from ladder_hub.analysis.images import ImageData, open_images
from ladder_hub.analysis.run_learner import RunLearner, open_run
from ladder_hub.backbone import STAGE_NAMES, pyramid
from ladder_hub.data.image_source import BadImage, DataError
from ladder_hub.data.photometric import augment
from ladder_hub.data.sources import Source
from ladder_hub.data.views import Batch
from ladder_hub.device import pick_device
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.settings import Section, settings_from
from ladder_hub.siamese.learner import Learner, head_name
from ladder_hub.siamese.levels import Level, Stage
from ladder_hub.training.inputs import chosen_views, to_device

_PASS = 8  # images a pass


class GradientsSettings(Section):
    """What `analyse gradients` takes."""

    data: ImageData = ImageData()
    n: Annotated[int, Field(ge=1, le=64)] = 8
    """So many of the first images, where `images` names none."""
    images: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=64)] = ()
    """Which images, by their place in the data, counted from 0."""
    lower: Stage = "res2"
    """The stage whose map is differentiated by."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the views."""
    device: str = "auto"


def analyse_gradients(run: str, overrides: Sequence[str] = (), *, console: Console | None = None) -> GradientsAnalysis:
    """|dL_i / dz_lower|, summed over channels, for every level i above `lower` and some images.

    L_i is the loss of one image under the run's heads and target, both orders of the views, unweighted; z_lower is the
    map of view 1 in the online network (the order in which view 1 is the target's has no gradient). The views are those
    of the run's recipe. Every BatchNorm is in eval mode: with the statistics of a batch, one image's gradient would
    depend on the images that happen to lie beside it.

    Args:
        run: whatever `open_run` takes.
        overrides: `key=value` for the keys of `GradientsSettings`: data.images, n, images, lower, ...
        console: where progress goes; None: standard error.

    Raises:
        UserError: an unknown key, a run without heads or without a level above `lower`, images that can't be had.
    """
    settings = settings_from(GradientsSettings, overrides)
    device = pick_device(settings.device)
    found = open_run(run)
    levels = levels_above(found, settings.lower)
    source = open_images(settings.data, [found.recipe])
    indices = settings.images or tuple(range(min(settings.n, len(source))))
    if max(indices) >= len(source):
        raise UserError(f"images={list(indices)}: data.images={source.spec} has {len(source)} images, counted from 0")
    with Display(console or Console(file=sys.stderr)) as display:
        images = _of_images(found, levels, source, indices, settings, device, display)
    return GradientsAnalysis(
        run=run,
        origin=found.origin,
        step=found.step,
        lower=settings.lower,
        levels=tuple(level.name for level in levels),
        views={"recipe": found.recipe.name, "image_size": found.recipe.data.image_size, "seed": settings.seed},
        source=source.fingerprint(),
        images=tuple(images),
    )


def levels_above(found: RunLearner, lower: str) -> list[Level]:
    """The levels of a run whose loss reaches the map of `lower` from above.

    Raises:
        UserError: there is none.
    """
    levels = [level for level in found.learner.levels if STAGE_NAMES.index(level.stage) > STAGE_NAMES.index(lower)]
    if not levels:
        own = ", ".join(level.name for level in found.learner.levels)
        raise UserError(f"{found.name} has no level above lower={lower} (its levels: {own}); try a lower stage")
    return levels


def gradient_maps(
    learner: Learner, levels: Sequence[Level], lower: str, view1: Tensor, view2: Tensor
) -> dict[str, Tensor]:
    """The gradients of every image's own loss with respect to its map of `lower` in view 1.

    Args:
        learner: In eval mode.
        levels: Above `lower`.
        lower: res2..res4.
        view1: (B, 3, S, S), normalised.
        view2: Likewise.

    Returns:
        {level: (B, C, h, w)}, signed, in the views' dtype.

    Raises:
        UserError: timm gives this network's maps apart from what goes on to the next stage.
    """
    network = learner.online
    with torch.no_grad():
        target = learner.target(view2)
    with torch.enable_grad():
        # The images ask for gradients, and no parameter: the graph is there, and nothing is summed up for weights.
        maps = pyramid(network.backbone, view1.detach().requires_grad_(), sorted({lower, *network.stages}))
        online = network.project(maps)
        gradients = {}
        for level in levels:
            orders = [learner.head_loss(kind, head_name(level, kind), online, target) for kind in level.heads]
            loss = torch.stack(orders).mean() * len(view1)  # losses are means over images
            (gradient,) = torch.autograd.grad(loss, maps[lower], retain_graph=True, allow_unused=True)
            if gradient is None:
                kind = type(network.backbone).__name__
                raise UserError(f"timm gives the maps of {kind} as copies: its {lower} has no gradient of {level.name}")
            gradients[level.name] = gradient
    return gradients


def _of_images(
    found: RunLearner,
    levels: Sequence[Level],
    source: Source,
    indices: Sequence[int],
    settings: GradientsSettings,
    device: torch.device,
    display: Display,
) -> list[ImageGradients]:
    learner = found.learner.requires_grad_(False).eval().to(device).to(memory_format=torch.channels_last)
    recipe = found.recipe.model_copy(update={"seed": settings.seed})
    task = display.task("gradients", len(indices))
    images: list[ImageGradients] = []
    for start in range(0, len(indices), _PASS):
        some = indices[start : start + _PASS]
        try:
            batch = chosen_views(recipe, source, some)
        except BadImage as error:
            raise DataError(f"{error.key} can't be decoded ({error.reason}); name others: images=[3,17]") from None
        gradients = gradient_maps(learner, levels, settings.lower, *to_device(batch, device))
        sums = {name: gradient.abs().sum(1).float().cpu().numpy() for name, gradient in gradients.items()}
        for place, index in enumerate(some):
            maps = {name: found_maps[place] for name, found_maps in sums.items()}
            images.append(ImageGradients(index, source.key(index), _original(source, index), _seen(batch, place), maps))
        task.advance(len(some))
    task.close()
    return images


def _original(source: Source, index: int) -> np.ndarray:
    return source.image(index).permute(1, 2, 0).numpy()


def _seen(batch: Batch, place: int) -> np.ndarray:
    """View 1 before it is normalised: uint8 (S, S, 3)."""
    pixels = augment(batch.views[0][place : place + 1], batch.photometric[0][place : place + 1])
    return pixels[0].permute(1, 2, 0).numpy()
