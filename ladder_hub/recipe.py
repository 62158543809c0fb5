"""A recipe: one TOML file that is the whole experiment, checked key by key.

`base = "name"` inherits from another recipe; `key=value` overrides are read by the same TOML grammar (a bare
word is a string). What is loaded is frozen, complete and enough to run again (`Recipe.to_toml`).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, model_validator

from ladder_hub.recipe_files import load, names
from ladder_hub.settings import Section, nearest
from ladder_hub.siamese.levels import LEVELS, Level, Loss, Stage

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Range = tuple[Positive, Positive]


class LevelKeys(Section):
    """`[[levels]]`: one rung of a ladder that is not one of the four methods."""

    stage: Stage
    loss: Loss
    weight: Positive = 1.0


class ModelKeys(Section):
    """`[model]`: the network that trains and is published."""

    backbone: str
    """Any timm model with a feature pyramid: resnet50, convnext_atto, ..."""


class HeadKeys(Section):
    """`[heads]`: projectors and predictors, the same sizes on every level."""

    hidden: Count
    """Width of the hidden layer."""
    out: Count
    """Width of the projection."""
    grid: Count
    """Dense levels: a map of more than grid x grid cells is average-pooled to grid x grid."""


class TargetKeys(Section):
    """`[target]`: the moving average."""

    base_momentum: Fraction
    """Momentum at step 0; rises to 1 along a cosine."""


class OptimKeys(Section):
    """`[optim]`: LARS with cosine decay after a linear warm-up."""

    base_lr: Positive
    """Learning rate for 256 images; the run uses base_lr * batch_size / 256."""
    momentum: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    trust_coefficient: Positive
    warmup_epochs: Annotated[float, Field(ge=0)]


class DataKeys(Section):
    """`[data]`: where images come from. A folder, tar shards (`train-{000000..000005}.tar`) or `shapes`."""

    train: str
    val: str = ""
    """Labelled images for kNN; empty: none is measured."""
    image_size: Annotated[int, Field(ge=32)]
    """Side of a view in pixels."""
    crop_pct: Annotated[float, Field(gt=0, le=1)]
    """Evaluation: the centre crop takes this share of the shorter side."""
    max_bad: Fraction = 0.01
    """Share of images that may fail to decode before the run stops."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader processes; -1: one a core, at most 8."""


class ViewKeys(Section):
    """`[views]`: augmentation; a pair is (view 1, view 2)."""

    crop_scale: Range
    crop_ratio: Range
    flip: Fraction
    jitter: Fraction
    """Probability of the colour jitter, whose four parts come in random order."""
    brightness: Fraction
    contrast: Fraction
    saturation: Fraction
    hue: Annotated[float, Field(ge=0, le=0.5)]
    grey: Fraction
    blur: tuple[Fraction, Fraction]
    blur_sigma: Range
    """In pixels."""
    solarize: tuple[Fraction, Fraction]
    preview: str = ""
    """Write a picture of what the network sees to this file, and stop."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"views.{key}: the first number must not exceed the second, got [{low}, {high}]")
        if self.crop_scale[1] > 1:
            raise ValueError(f"views.crop_scale: a crop can't exceed the image, got {self.crop_scale[1]}")
        return self


class KnnKeys(Section):
    """`[knn]`: nearest neighbours on frozen features, where the data has labels."""

    every: Annotated[int, Field(ge=0)]
    """Epochs between two measurements while training; 0: only at the end."""
    k: Count = 20
    temperature: Positive = 0.07
    bank: Count
    """While training, at most this many training images vote; at the end all of them do."""


class LogKeys(Section):
    """`[log]`: how often to write."""

    every: Count
    """Optimiser steps between two lines of log.jsonl."""
    checkpoint: Count = 1
    """Epochs between two checkpoints."""


class Recipe(Section):
    """The whole experiment. See the comments in `recipes/base.toml` for every choice and its source."""

    name: str
    description: str
    method: str
    levels: tuple[LevelKeys, ...] = ()
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    """Images an optimiser step, over all devices."""
    micro_batch: Annotated[int, Field(ge=2)]
    """At most so many images a forward pass on each process; see `training/layout.py`."""
    batch_norm: Literal["auto", "sync", "ghost"]
    """`sync`: statistics of a pass over all processes; `ghost`: on each by itself; `auto`: sync where several are."""
    timeout: Count
    """Seconds that a process waits for the others before it gives the run up."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "bf16", "float32", "float64"]
    """Of the passes; weights are float32. float64, weights too: to check the mathematics."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    out: str = ""
    """The run's folder; empty: runs/<name>."""
    init: str = ""
    """Start from this model (a name, an artifact, a run, hf-hub:org/name) instead of at random."""
    on_collapse: Literal["warn", "stop"] = "warn"
    license: str = "apache-2.0"
    """License of the weights, as it will stand on the card (a Hub license id)."""
    model: ModelKeys
    heads: HeadKeys
    target: TargetKeys
    optim: OptimKeys
    data: DataKeys
    views: ViewKeys
    knn: KnnKeys
    log: LogKeys

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_method(self)
        if self.optim.warmup_epochs >= self.epochs:
            raise ValueError(f"optim.warmup_epochs: {self.optim.warmup_epochs} must be below epochs = {self.epochs}")
        return self

    @property
    def ladder(self) -> tuple[Level, ...]:
        """The levels, lowest stage first."""
        if not self.levels:
            return LEVELS[self.method]
        return tuple(Level(level.stage, level.loss, level.weight) for level in self.levels)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: base_lr * batch_size / 256."""
        return self.optim.base_lr * self.batch_size / 256

    def to_toml(self) -> str:
        """The resolved recipe; `load_recipe` reads it back to an equal one."""
        return tomli_w.dumps(json.loads(self.model_dump_json()))

    def dotted(self) -> dict[str, Any]:
        """Every key with its value as JSON has it, nested ones dotted as an override names them."""
        flat: dict[str, Any] = {}
        for key, value in json.loads(self.model_dump_json()).items():
            flat |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
        return flat

    def published(self) -> Self:
        """The recipe as an artifact carries it: without this machine's device and folders."""
        data = self.data.model_copy(update={"train": Path(self.data.train).name, "val": Path(self.data.val).name})
        init = self.init if self.init.startswith("hf-hub:") else Path(self.init.removeprefix("local-dir:")).name
        return self.model_copy(update={"out": "", "device": "auto", "data": data, "init": init})

    def fingerprint(self) -> str:
        """SHA-256 of what decides the numbers beside the images, whose own digest is in the provenance.

        Left out are names, places, loader processes and logging.
        """
        keys = json.loads(self.published().model_dump_json(exclude=_NOT_IN_FINGERPRINT))
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()


_NOT_IN_FINGERPRINT: Any = {
    "name": True,
    "description": True,
    "device": True,
    "out": True,
    "license": True,
    "timeout": True,
    "log": True,
    "data": {"train", "val", "workers"},
    "views": {"preview"},
}


def recipe_names() -> list[str]:
    """Every shipped recipe that can be trained, sorted."""
    return names()


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe `name` (shipped, or the path of a TOML file) with `key=value` overrides applied.

    Raises:
        RecipeError: no such recipe, or not TOML.
        SettingError: an unknown key, or a value that its key can't have; the message says what was expected.
    """
    return load(Recipe, name, overrides)


def _check_method(recipe: Recipe) -> None:
    known = LEVELS.get(recipe.method)
    if not recipe.levels:
        if known is None:
            near = nearest(recipe.method, list(LEVELS))
            raise ValueError(f"method: {recipe.method!r} is not one of {', '.join(LEVELS)}{near}; or name its levels")
        return
    names = [(level.stage, level.loss) for level in recipe.levels]
    if len({stage for stage, _ in names}) < len(names):
        raise ValueError("levels: a stage is named twice; a dense level holds the global loss of its stage too")
    if known is not None and recipe.ladder != known:
        raise ValueError(f"levels: these are not those of {recipe.method}; give the ladder a method name of its own")
