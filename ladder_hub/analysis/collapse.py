"""`analyse collapse`: Theorem 1 of the paper made measurable (Sec. 3.4).

The theorem: every stage is a function of the one before, so where z_l is one constant for all images, so is every later
z_m. The sets of collapsed stages are therefore nested. It speaks of exact constants and of complete collapse; not of
the lower stages, and not of dimensional collapse.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from rich.console import Console

from ladder_hub.analysis.collapse_networks import Network, networks, recipe_of
from ladder_hub.analysis.collapse_result import CollapseAnalysis, HeadCurve, NetworkReading, RunCollapse
from ladder_hub.analysis.images import ImageData, open_images
from ladder_hub.analysis.spread_reading import StageReader
from ladder_hub.backbone import STAGE_NAMES, pyramid
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.photometric import normalise
from ladder_hub.data.sources import Source
from ladder_hub.device import pick_device
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.log import read_log
from ladder_hub.settings import Section, settings_from


class CollapseSettings(Section):
    """What `analyse collapse` takes."""

    data: ImageData = ImageData()
    n: Annotated[int, Field(ge=2)] = 512
    """Images, spread evenly over the source; all there are where there are fewer."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    device: str = "auto"


def analyse_collapse(
    runs: Sequence[str], overrides: Sequence[str] = (), *, console: Console | None = None
) -> CollapseAnalysis:
    """Rank and variance by stage and step of some runs, and the kind of collapse of each.

    Projections are read from log.jsonl, at every logging step. The stages themselves are measured on the online
    backbone, in eval mode, of every checkpoint that the run has kept (the newest two).

    Args:
        runs: Folders of runs; a model without its run (whatever `open_subject` takes) has its stages alone.
        overrides: `key=value` for the keys of `CollapseSettings`: data.images, n, batch_size, device.
        console: where progress goes; None: standard error.

    Raises:
        UserError: an unknown key, no images, no such run, a damaged checkpoint.
    """
    settings = settings_from(CollapseSettings, overrides)
    if not runs:
        raise UserError("analyse collapse takes at least one RUN")
    recipes = [recipe_of(run) for run in runs]
    device = pick_device(settings.device)
    source = open_images(settings.data, (recipe for recipe in recipes if recipe))
    with Display(console or Console(file=sys.stderr)) as display:
        found = tuple(
            RunCollapse(run, _heads(run, recipe), tuple(_readings(run, source, settings, device, display)))
            for run, recipe in zip(runs, recipes, strict=True)
        )
    return CollapseAnalysis(found, source.fingerprint())


def _heads(run: str, recipe: Recipe | None) -> tuple[HeadCurve, ...]:
    """What the run logged of its projections."""
    if recipe is None:
        return ()
    records = [record for record in read_log(Path(run).expanduser()) if record.get("std")]
    names = list(dict.fromkeys(name for record in records for name in record["std"]))
    allowed = min(recipe.heads.out, recipe.micro_batch, recipe.batch_size)
    return tuple(_curve(name, [r for r in records if name in r["std"]], allowed) for name in names)


def _curve(name: str, records: Sequence[dict[str, Any]], allowed: int) -> HeadCurve:
    steps = tuple(record["step"] for record in records)
    std, rank = (tuple(record[key][name] for record in records) for key in ("std", "rank"))
    return HeadCurve(name, steps, std, rank, allowed)


def _readings(
    run: str, source: Source, settings: CollapseSettings, device: torch.device, display: Display
) -> Iterator[NetworkReading]:
    for network in networks(run):
        yield _read(network, source, settings, device, display)


@torch.inference_mode()
def _read(
    network: Network, source: Source, settings: CollapseSettings, device: torch.device, display: Display
) -> NetworkReading:
    count = min(settings.n, len(source))
    backbone = network.backbone.eval().to(device).to(memory_format=torch.channels_last)
    readers = {stage: StageReader() for stage in STAGE_NAMES}
    task, seen = display.task("stages" if network.step is None else f"step {network.step}", count), 0
    for images, _, bad in evaluation_batches(
        source,
        indices=np.linspace(0, len(source) - 1, count).round().astype(np.int64),
        size=network.size,
        crop_pct=network.crop_pct,
        batch_size=settings.batch_size,
        workers=settings.data.workers,
    ):
        display.left_out(bad)
        prepared = normalise(images.to(device), mean=network.mean, std=network.std)
        if len(prepared):
            for stage, maps in pyramid(backbone, prepared.contiguous(memory_format=torch.channels_last)).items():
                readers[stage].add(maps)
        seen += len(images)
        task.advance(len(images) + len(bad))
    task.close()
    if seen < 2:
        raise UserError(f"data.images={source.spec}: {seen} image could be decoded; two are needed to see a difference")
    return NetworkReading(network.step, seen, {stage: reader.reading() for stage, reader in readers.items()})
