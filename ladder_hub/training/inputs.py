"""From a recipe's keys to the data room's plain arguments: sources, views, and a batch ready for the network."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ladder_hub.data.image_source import BadImage, Progress, no_progress
from ladder_hub.data.loader import Batch, TwoViews
from ladder_hub.data.photometric import Policy, augment, normalise, normalise_
from ladder_hub.data.preview import PREVIEWED, contact_sheet
from ladder_hub.data.shapes import ShapesSource
from ladder_hub.data.sources import Source, StreamSource, is_stream, notes_of, open_source, open_stream
from ladder_hub.data.stream_views import StreamedViews
from ladder_hub.data.views import ViewCutter, Views
from ladder_hub.downstream.knn import check_labels
from ladder_hub.errors import UserError
from ladder_hub.progress import clock
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.training.layout import Layout
from ladder_hub.training.length import steps_an_epoch

_SAMPLED = 256


@dataclass(frozen=True)
class Inputs:
    """The images of a run. `val` is None where the recipe names none: no kNN is measured."""

    train: Source | StreamSource
    val: Source | None
    overlap: int | None = None
    """Images of `val` that are in `train` too; None where nobody looked."""

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Of the training images; hashing a long listing takes seconds, so it is done once."""
        return self.train.fingerprint()

    @cached_property
    def sample(self) -> str:
        """SHA-256 of the bytes of up to 256 training images, evenly spaced; empty for a stream and what is drawn.

        The fingerprint is of names and sizes: images that are repaired or made smaller in place are told by this.
        """
        if isinstance(self.train, StreamSource | ShapesSource):
            return ""
        digest = hashlib.sha256()
        for index in np.linspace(0, len(self.train) - 1, min(_SAMPLED, len(self.train))).astype(np.int64).tolist():
            with contextlib.suppress(BadImage):
                digest.update(hashlib.sha256(self.train.content(index)).digest())
        return digest.hexdigest()


def open_inputs(recipe: Recipe, *, say: Callable[[str], None] = lambda _: None) -> Inputs:
    """Open and check what the recipe's `[data]` names; `say` is told how far a long listing is.

    Raises:
        UserError: nothing usable there, fewer images than a batch, or a `data.val` that can't be measured.
    """
    progress = _Spoken(say)
    train = _open_train(recipe, progress, say)
    steps_an_epoch(recipe, len(train))
    for note in [] if recipe.data.val else notes_of(train):  # else a look at both sets says so
        say(f"data.train: {note}")
    val = open_source(recipe.data.val, split="val", progress=progress) if recipe.data.val else None
    if val is not None:
        if isinstance(train, StreamSource):
            raise UserError("no stream can vote in kNN: leave data.val out, and measure by `ladder-hub eval knn`")
        check_labels(train, val)
    return Inputs(train, val)


def _open_train(
    recipe: Recipe, progress: Progress = no_progress, say: Callable[[str], None] = lambda _: None
) -> Source | StreamSource:
    keys = recipe.data
    if is_stream(keys.train):
        return open_stream(keys.train, samples=keys.samples, buffer=keys.buffer, patience=recipe.timeout, say=say)
    if keys.samples:
        raise UserError(f"data.samples is for streams; how many images data.train={keys.train} has is counted")
    return open_source(keys.train, split="train", progress=progress)


def two_views(recipe: Recipe, source: Source | StreamSource, layout: Layout, world: World) -> Views:
    """The training batches of the recipe: this process's micro-batches."""
    kind: Any = StreamedViews if isinstance(source, StreamSource) else TwoViews
    return kind(
        source,
        **_view_arguments(recipe),
        batch_size=layout.micro_batch,
        workers=recipe.data.workers,
        pin=world.device.type == "cuda",
        rank=world.rank,
        processes=world.size,
    )


def chosen_views(recipe: Recipe, source: Source, indices: Sequence[int]) -> Batch:
    """Two views of chosen images, as training cuts them in its first epoch.

    Raises:
        BadImage: one can't be decoded.
    """
    cutter = ViewCutter(**_view_arguments(recipe))
    chance = cutter.chance(0, indices)
    cuts = []
    for index, numbers in zip(indices, chance, strict=True):
        try:
            cuts.append((cutter.cut(numbers, source.picture(index)), index))
        except ValueError as error:
            raise BadImage(source.key(index), str(error)) from None
    return cutter.batch(chance, cuts, bad=[])


def write_preview(recipe: Recipe) -> int:
    """The contact sheet of `views.preview`: what the network would see. Returns how many images it shows."""
    source = _open_train(recipe)
    if isinstance(source, StreamSource):
        source = source.first(PREVIEWED)
    return contact_sheet(source, path=Path(recipe.views.preview), **_view_arguments(recipe))


def to_device(batch: Batch, device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Both views as the network takes them: augmented, normalised, `dtype` (B, 3, S, S), channels last."""
    prepared = []
    for view, photometric in zip(batch.views, batch.photometric, strict=True):
        images = augment(view.to(device, non_blocking=True), photometric)
        images = normalise(images) if images.dtype == torch.uint8 else normalise_(images)
        prepared.append(images.to(dtype).contiguous(memory_format=torch.channels_last))
    return prepared[0], prepared[1]


class _Spoken:
    """Progress as a line every few seconds, the first after two: a short listing says nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = time.monotonic()
        self._next = self._begun + 2

    def __call__(self, done: int, total: int | None, what: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 10
            left = f" of {total}, left {clock((now - self._begun) * (total - done) / done)}" if total and done else ""
            self._say(f"{what}: {done}{left}")


def _view_arguments(recipe: Recipe) -> dict[str, Any]:
    views = recipe.views
    return {
        "size": recipe.data.image_size,
        "crop_scale": views.crop_scale,
        "crop_ratio": views.crop_ratio,
        "flip": views.flip,
        "policies": (_policy(recipe, 0), _policy(recipe, 1)),
        "seed": recipe.seed,
    }


def _policy(recipe: Recipe, view: int) -> Policy:
    views = recipe.views
    return Policy(
        jitter=views.jitter,
        brightness=views.brightness,
        contrast=views.contrast,
        saturation=views.saturation,
        hue=views.hue,
        grey=views.grey,
        blur=views.blur[view],
        blur_sigma=views.blur_sigma,
        solarize=views.solarize[view],
    )
