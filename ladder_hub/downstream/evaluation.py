"""`ladder-hub eval`: measure a model by name and keep the figures with its artifact."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from rich.console import Console

from ladder_hub.artifact import Artifact, ArtifactError, add_metrics, read_artifact
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.data.sources import open_source
from ladder_hub.device import pick_device
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.knn import check_labels, evaluate_knn, protocol
from ladder_hub.errors import UserError
from ladder_hub.models import create_model, resolve
from ladder_hub.progress import Display
from ladder_hub.recipe import load_recipe
from ladder_hub.settings import Section, apply_override, validated


class EvalData(Section):
    """Labelled images; what is left out is taken from the recipe of the run that the model lies in."""

    train: str = ""
    val: str = ""
    workers: Annotated[int, Field(ge=-1)] = -1


class KnnSettings(Section):
    """What `eval knn` takes."""

    data: EvalData = EvalData()
    stage: Literal["res2", "res3", "res4", "res5", "all"] = "res5"
    k: Annotated[int, Field(ge=1)] = 20
    temperature: Annotated[float, Field(gt=0)] = 0.07
    batch_size: Annotated[int, Field(ge=1)] = 256
    device: str = "auto"


def eval_knn(model: str, overrides: Sequence[str] = (), *, console: Console | None = None) -> list[dict[str, Any]]:
    """KNN accuracy of a model; where it is an artifact on this disk, kept in its metrics.json and on its card.

    Args:
        model: whatever `create_model` takes.
        overrides: `key=value` for the keys of `KnnSettings`: data.train, data.val, stage, k, temperature, ...
        console: where progress goes; None: standard error.

    Returns:
        Entries as in metrics.json: protocol, stage, metric, value (0..1), ci95, n, data, weights, date.

    Raises:
        UserError: an unknown key, data without labels, a model that can't be had.
    """
    keys: dict[str, Any] = {}
    for override in overrides:
        apply_override(keys, override, KnnSettings)
    settings = validated(KnnSettings, keys)
    device = pick_device(settings.device)
    artifact = read_artifact(resolve(model))
    train_spec, val_spec = _data(settings, artifact)
    train, val = open_source(train_spec, split="train"), open_source(val_spec, split="val")
    check_labels(train, val)
    backbone: Any = create_model(model, pretrained=True).to(device).to(memory_format=torch.channels_last)
    stages = STAGE_NAMES if settings.stage == "all" else (settings.stage,)
    with Display(console or Console(stderr=True)) as display:
        task = display.task("kNN", len(train) + len(val))
        extractor = Extractor(
            size=backbone.pretrained_cfg["input_size"][-1],
            crop_pct=backbone.pretrained_cfg["crop_pct"],
            device=device,
            batch_size=settings.batch_size,
            workers=settings.data.workers,
            mean=backbone.pretrained_cfg["mean"],
            std=backbone.pretrained_cfg["std"],
            advance=task.advance,
            skip=display.left_out,
        )
        scores = evaluate_knn(
            backbone, train, val, extractor, k=settings.k, temperature=settings.temperature, stages=stages
        )
    name = protocol(settings.k, settings.temperature)
    facts = {"weights": backbone.load_receipt.digest, "train": train.fingerprint(), "val": val.fingerprint()}
    entries = []
    for score in scores:
        for entry in score.entries(protocol=name, **facts):
            entries.append({**entry, "baseline": _known_baseline(artifact, entry)})
    if _is_ours(model, artifact):
        try:
            add_metrics(artifact.folder, entries)
        except ArtifactError as error:
            # What took an hour to measure is told all the same.
            raise ArtifactError(f"{error}: {_told(entries)}") from None
    return entries


def _told(entries: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['stage']} {entry['metric']} {entry['value']:.4f}" for entry in entries)


def _data(settings: KnnSettings, artifact: Artifact) -> tuple[str, str]:
    """The images to use: as asked, else those of the recipe that trained the model."""
    asked = settings.data
    if asked.train and asked.val:
        return asked.train, asked.val
    # An artifact's own recipe names no folders; the run's, one up, does.
    recipe = artifact.folder.parent / "recipe.toml"
    trained = load_recipe(str(recipe)).data if recipe.is_file() else EvalData()
    data = asked.train or trained.train, asked.val or trained.val
    for key, spec in zip(("data.train", "data.val"), data, strict=True):
        if not spec:
            raise UserError(f"{key} is missing: kNN needs labelled images to vote and labelled images to classify")
    return data


def _known_baseline(artifact: Artifact, entry: dict[str, Any]) -> float | None:
    """The figure before training, where the run itself measured the same thing."""
    same = ("protocol", "stage", "metric", "data", "weights")
    found = (old for old in artifact.metrics if all(old.get(key) == entry[key] for key in same))
    return next((old["baseline"] for old in found), None)


def _is_ours(model: str, artifact: Artifact) -> bool:
    """Whether the folder is the user's own, not a cache of downloads."""
    return bool(artifact.recipe) and not model.startswith("hf-hub:") and Path(model.removeprefix("local-dir:")).exists()
