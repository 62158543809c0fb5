"""The recipe of `eval linear`: how linear classifiers learn on frozen features."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ladder_hub.downstream.finetune.settings import SAFE_ON_RESUME, Count, FinetuneKeys, protocol_name
from ladder_hub.recipe_files import load, names
from ladder_hub.settings import Section

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Range = tuple[Positive, Positive]

DEFAULT = "sgd_100e"
SAFE = (*SAFE_ON_RESUME, "data.train", "data.val")
"""Keys that may change when a run goes on; the images are told by their digests."""
STAGES = ("res2", "res3", "res4", "res5")


class LinearData(Section):
    """`[data]`: labelled images; what is left out is taken from the recipe of the run that the model lies in."""

    train: str = ""
    val: str = ""
    max_bad: Fraction = 0.01
    """Share of images that may fail to decode before the run stops."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader threads; -1: one a core, at most 8."""


class LinearViews(Section):
    """`[views]`: augmentation, with `cache = false`."""

    crop_scale: Range
    crop_ratio: Range
    flip: Fraction


class LinearOptim(Section):
    """`[optim]`: what moves the classifiers."""

    kind: Literal["sgd", "lars"]
    lr: Annotated[tuple[Positive, ...], Field(min_length=1)]
    """Peak rates, lowest first: each stage has a classifier for each, and the best on held-back images is reported."""
    momentum: Fraction
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)]
    trust_coefficient: Positive = 1e-3
    """Of LARS."""
    milestones: tuple[Count, ...] = ()
    """Epochs after which the rate falls to a tenth; none: it follows a cosine to 0, set once an epoch."""


class LinearRecipe(FinetuneKeys):
    """See the comments in `recipes/linear/sgd_100e.toml` for every choice and its source."""

    epochs: Count
    stage: Literal["res2", "res3", "res4", "res5", "all"]
    """Which maps are read; all of them in one pass."""
    pool: Literal["gap", "mhead"]
    """`gap`: the mean of a map; `mhead`: some 9,000 averages of its parts, and BatchNorm without weights."""
    cache: bool
    """Learn on features of centre crops, read once and kept on the disk, instead of augmented images."""
    held_back: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images on which the learning rate is chosen; nothing is chosen on `data.val`."""
    image_size: Annotated[int, Field(ge=0)] = 0
    """Side of the input in pixels; 0: the network's own."""
    crop_pct: Fraction = 0.0
    """Share of the shorter side that the centre crop takes; 0: the network's own."""
    data: LinearData = LinearData()
    views: LinearViews
    optim: LinearOptim

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key in ("crop_scale", "crop_ratio"):
            low, high = getattr(self.views, key)
            if low > high:
                raise ValueError(f"views.{key}: the first number must not exceed the second, got [{low}, {high}]")
        if self.views.crop_scale[1] > 1:
            raise ValueError(f"views.crop_scale: a crop can't exceed the image, got {self.views.crop_scale[1]}")
        if list(self.optim.lr) != sorted(set(self.optim.lr)):
            raise ValueError(f"optim.lr: the lowest first and none twice, got {list(self.optim.lr)}")
        return self

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that are read."""
        return STAGES if self.stage == "all" else (self.stage,)

    @property
    def published_protocol(self) -> str:
        """The name that the figures stand under: `protocol`, and what was changed of the recipe that has this name."""
        shipped = (read_recipe(name) for name in names("linear"))
        return protocol_name(self, shipped, free=(*SAFE, "model", "seed", "stage"))


def read_recipe(name: str, overrides: Sequence[str] = ()) -> LinearRecipe:
    """The recipe `name` of `eval linear`, shipped or a file's path, with overrides.

    Raises:
        RecipeError, SettingError: as `recipe_files.load`.
    """
    return load(LinearRecipe, name, overrides, kind="linear")
