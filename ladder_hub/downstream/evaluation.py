"""`ladder-hub eval knn`: nearest neighbours on frozen features, kept with the artifact."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from rich.console import Console
from torch.nn import functional as F

from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.data.contents import named_by_content
from ladder_hub.data.look import look_first
from ladder_hub.data.sources import Source
from ladder_hub.downstream.feature_shards import FeatureTable
from ladder_hub.downstream.frozen import open_frozen
from ladder_hub.downstream.knn import neighbours, scores
from ladder_hub.downstream.labelled import EvalData, open_labelled
from ladder_hub.downstream.metrics import Facts
from ladder_hub.downstream.record import keep
from ladder_hub.downstream.subject import Subject, open_subject
from ladder_hub.progress import Display
from ladder_hub.runtime.distributed import World, open_world
from ladder_hub.settings import Section, settings_from

Stage = Literal["res2", "res3", "res4", "res5", "all"]
Count = Annotated[int, Field(ge=1)]


class KnnSettings(Section):
    """What `eval knn` takes."""

    data: EvalData = EvalData()
    stage: Stage = "res5"
    k: Count | Annotated[tuple[Count, ...], Field(min_length=1)] = (20, 200)
    """Neighbours that vote; several numbers are several figures of one reading."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    image_size: Annotated[int, Field(ge=0)] = 0
    """Side of the input in pixels; 0: the network's own."""
    crop_pct: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the shorter side that the centre crop takes; 0: the network's own."""
    cache: bool = True
    """Keep the features on the disk for other evaluations of the same weights and images."""
    batch_size: Count = 256
    """Images a forward pass."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of `random:`."""
    timeout: Count = 600
    """Seconds that a process waits for the others."""
    device: str = "auto"


def eval_knn(
    model: str, overrides: Sequence[str] = (), *, console: Console | None = None, kept: bool = True
) -> list[dict[str, Any]]:
    """KNN accuracy of a model; where it is an artifact on this disk, kept in its metrics.json and on its card.

    Under torchrun or srun every process calls it, and reads its part of the images.

    Args:
        model: whatever `open_subject` takes.
        overrides: `key=value` for the keys of `KnnSettings`: data.train, data.val, stage, k, temperature, ...
        console: where progress goes; None: standard error.
        kept: write the figures into the artifact; False: measure only.

    Returns:
        Entries as in metrics.json: protocol, stage, metric, value (0..1), ci95, n, data, weights, date; none on all
        processes but the first.

    Raises:
        UserError: an unknown key, data without labels, a model that can't be had.
    """
    settings = settings_from(KnnSettings, overrides)
    with open_world(timeout=settings.timeout) as world:
        console = (console or Console(file=sys.stderr)) if world.is_first else Console(quiet=True)
        with Display(console) as display:
            world.agreed(lambda: world.use_device(settings.device))
            subject = world.agreed(lambda: open_subject(model, seed=settings.seed))
            entries = _measured(subject, settings, world, display)
            return keep(model, subject.artifact, entries) if kept and world.is_first else entries


def _measured(subject: Subject, settings: KnnSettings, world: World, display: Display) -> list[Facts]:
    train, val, classes = world.agreed(lambda: open_labelled(settings.data, subject.artifact))
    overlap = _overlap(train, val, settings.data.workers, world, display)
    frozen = open_frozen(
        subject,
        world,
        cache=settings.cache,
        image_size=settings.image_size,
        crop_pct=settings.crop_pct,
        batch_size=settings.batch_size,
        workers=settings.data.workers,
    )
    stages = STAGE_NAMES if settings.stage == "all" else (settings.stage,)
    known, asked = (frozen.table(source, stages, display) for source in (train, val))
    if not world.is_first:
        return []
    facts: Facts = {
        "weights": subject.weights,
        "train": named_by_content(train, workers=settings.data.workers),
        "val": named_by_content(val, workers=settings.data.workers),
        "overlap": overlap,
    }
    entries: list[Facts] = []
    changed = frozen.changed
    numbers = _votes(settings.k if isinstance(settings.k, tuple) else (settings.k,), len(known), display)
    voters, truth = (_labels(*pair, world.device) for pair in ((train, known), (val, asked)))
    for stage in stages:
        bank, queries = (F.normalize(table.all(stage).to(world.device), dim=1) for table in (known, asked))
        near = neighbours(bank, voters, queries, k=max(numbers))
        for k in numbers:
            score = scores(near, truth, stage=stage, classes=classes, k=k, temperature=settings.temperature)
            entries += score.entries(temperature=settings.temperature, changed=changed, **facts)
    return entries


def _votes(asked: Sequence[int], there: int, display: Display) -> list[int]:
    """How many neighbours vote, each number once: where there are fewer images all do, and the figure is called so."""
    for k in asked:
        if k > there:
            display.say(f"k={k}: data.train has {there} images, so {there} vote and the figure is called knn:k{there}")
    return list(dict.fromkeys(min(k, there) for k in asked))


def _overlap(train: Source, val: Source, workers: int, world: World, display: Display) -> int | None:
    """How many images are asked that also vote; told by the first process, which alone looks."""
    return world.agreed(lambda: look_first(train, val, display.say, workers=workers) if world.is_first else None)


def _labels(source: Source, table: FeatureTable, device: torch.device) -> torch.Tensor:
    assert source.labels is not None
    return torch.from_numpy(source.labels[table.indices]).to(device)
