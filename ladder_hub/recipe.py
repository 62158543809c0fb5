"""A recipe: one TOML file that is the whole experiment, checked key by key.

`base = "name"` inherits from another recipe; `key=value` overrides are read by the same TOML grammar (a bare
word is a string). What is loaded is frozen, complete and enough to run again (`Recipe.to_toml`).
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ladder_hub.documents import shown
from ladder_hub.recipe_files import load, names
from ladder_hub.settings import Section, nearest
from ladder_hub.siamese.levels import LEVELS, Level, Loss, Stage

# Upper bounds keep products finite and a slip of the keyboard from asking for terabytes; no setting comes near them.
Positive = Annotated[float, Field(gt=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Width = Annotated[int, Field(ge=1, le=2**16)]
Range = tuple[Positive, Positive]


_FOLDER = re.compile(r"[^./\\][^/\\]{0,99}")


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

    hidden: Width
    """Width of the hidden layer."""
    out: Width
    """Width of the projection."""
    grid: Annotated[int, Field(ge=1, le=256)]
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
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    trust_coefficient: Positive
    warmup_epochs: Annotated[float, Field(ge=0, le=1e9)]


class DataKeys(Section):
    """`[data]`: where images come from. A folder, tar shards (`train-{000000..000005}.tar`) or `shapes`."""

    train: str
    val: str = ""
    """Labelled images for kNN; empty: none is measured."""
    image_size: Annotated[int, Field(ge=32, le=8192)]
    """Side of a view in pixels."""
    crop_pct: Annotated[float, Field(gt=0, le=1)]
    """Evaluation: the centre crop takes this share of the shorter side."""
    samples: Annotated[int, Field(ge=0, le=10**12)] = 0
    """Streams: images an epoch. Else 0: the data says."""
    buffer: Count = 2048
    """Streams: undecoded images among which each process draws its next."""
    license: str = ""
    """License of the images, for the card; nothing is published before it is stated."""
    max_bad: Fraction = 0.01
    """Share of images that may fail to decode before the run stops."""
    workers: Annotated[int, Field(ge=-1, le=1024)] = -1
    """Loader threads; -1: one a core, at most 8."""


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

    every: Annotated[int, Field(ge=0, le=10**9)]
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
    """Decides the run's folder where `out` does not."""
    description: str
    method: str
    levels: tuple[LevelKeys, ...] = ()
    epochs: Count
    batch_size: Annotated[int, Field(ge=2, le=2**24)]
    """Images an optimiser step, over all devices."""
    micro_batch: Annotated[int, Field(ge=2, le=2**24)]
    """At most so many images a forward pass on each process; see `training/layout.py`."""
    batch_norm: Literal["auto", "sync", "ghost"]
    """`sync`: statistics of a pass over all processes; `ghost`: on each by itself; `auto`: sync where several are."""
    timeout: Count
    """Seconds that a process waits for the others before it gives the run up."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "bf16", "float32", "float64"]
    """Of the passes; weights are float32. float64, weights too: to check the mathematics."""
    compile: bool = False
    """Compile the networks by torch.compile; where that fails the run goes on without it."""
    checkpoint_activations: bool = False
    """Compute the backbone's activations again in the backward pass instead of keeping them."""
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
        if not _FOLDER.fullmatch(self.name):
            raise ValueError(f"name: no folder can be called {shown(self.name)}; leave out / and \\ and a dot in front")
        if self.optim.warmup_epochs >= self.epochs:
            raise ValueError(
                f"optim.warmup_epochs: {self.optim.warmup_epochs} must be below epochs = {self.epochs}; "
                f"add optim.warmup_epochs={self.epochs / 10:g}"
            )

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

    def published(self) -> Self:
        """The recipe as an artifact carries it: without this machine's device and folders."""
        data = self.data.model_copy(update={"train": _last_part(self.data.train), "val": _last_part(self.data.val)})
        init = self.init if self.init.startswith("hf-hub:") else Path(self.init.removeprefix("local-dir:")).name
        return self.model_copy(update={"out": "", "device": "auto", "data": data, "init": init})

    def fingerprint(self) -> str:
        """SHA-256 of what decides the numbers beside the images, whose own digest is in the provenance.

        Left out are names, places, loader threads and logging.
        """
        keys = json.loads(self.published().model_dump_json(exclude=_NOT_IN_FINGERPRINT))
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()


_NOT_IN_FINGERPRINT: Any = {
    "name": True,
    "description": True,
    "compile": True,
    "checkpoint_activations": True,
    "device": True,
    "out": True,
    "license": True,
    "timeout": True,
    "log": True,
    "data": {"train", "val", "workers", "license"},
    "views": {"preview"},
}


def _last_part(images: str) -> str:
    """The images' own name, without their folder, and without what an address or a command may keep secret."""
    if images.lower().startswith("pipe:"):
        return "pipe:"
    return Path(images.partition("?")[0] if "://" in images else images).name


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
