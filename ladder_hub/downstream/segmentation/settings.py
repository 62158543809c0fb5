"""The recipe of `eval segment`: an FCN, its schedule, and the data that it learns from and is judged on."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ladder_hub.downstream.finetune.settings import SAFE_ON_RESUME, FinetuneKeys, protocol_name
from ladder_hub.recipe_files import load, names
from ladder_hub.settings import Section

Positive = Annotated[float, Field(gt=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=32, le=2**15)]
Range = tuple[Positive, Positive]

DEFAULT = "voc_512_20k"
SAFE = (*SAFE_ON_RESUME, "data.train", "data.val", "pictures")
"""Keys that may change when a run goes on; the data is told by its digests."""


class SegmentData(Section):
    """`[data]`: pairs of image and mask, as `data.pairs.open_pairs` takes them."""

    train: str = ""
    val: str = ""
    classes: Annotated[int, Field(ge=0, le=255)] = 0
    """How many; 0: `classes.txt` beside the data says."""
    values: tuple[Annotated[int, Field(ge=0, le=2**16 - 1)], ...] = ()
    """What stands in the masks for class 0, 1, ..., as in [0, 255]; empty: the classes themselves."""
    absent: Literal["refuse", "allow"] = "refuse"
    """A class that no mask of train, or none of val, has."""
    size: tuple[Side, Side]
    """An image is resized, its shape kept, until its long side is the first of these or its short side the second."""
    max_bad: Fraction = 0.01
    """Share of pairs that may be unusable before the run stops."""
    workers: Annotated[int, Field(ge=-1, le=1024)] = -1
    """Loader threads; -1: one a core, at most 8."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"data.values: each value is of one class, got {list(self.values)}")
        return self


class FcnKeys(Section):
    """`[fcn]`: what `downstream.segmentation.fcn` takes."""

    stride: Literal[8, 16, 32]
    """Of the last map."""
    channels: Annotated[int, Field(ge=2, le=2**14)]
    """Of the decode head; the auxiliary head has half."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    align_corners: bool


class SegmentViews(Section):
    """`[views]`: augmentation."""

    crop: Side
    """Side of what is learned from, in pixels."""
    scale: Range
    """Times `data.size`."""
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)]
    """A crop of which one class takes this share or more is drawn again, ten times at most."""
    flip: Fraction
    brightness: Annotated[float, Field(ge=0, le=1)]
    """Added, in shares of the whole range."""
    contrast: Range
    saturation: Range
    hue: Annotated[float, Field(ge=0, le=0.5)]
    """In turns of the colour wheel."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for key in ("scale", "contrast", "saturation"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"views.{key}: the first number must not exceed the second, got [{low}, {high}]")
        return self


class SegmentOptim(Section):
    """`[optim]`: SGD over every parameter, polynomial decay."""

    lr: Positive
    momentum: Fraction
    weight_decay: Fraction
    power: Positive
    floor: Annotated[float, Field(ge=0)]
    """The rate that it decays to."""


class SegmentTest(Section):
    """`[test]`: how an image is read."""

    window: Annotated[int, Field(ge=0, le=2**15)]
    """Side of the sliding window in pixels; 0: the whole image at once."""
    stride: Annotated[int, Field(ge=0, le=2**15)]
    """Pixels from one window to the next."""

    @model_validator(mode="after")
    def _overlapping(self) -> Self:
        if self.window and not (self.window >= 32 and 1 <= self.stride <= self.window):
            raise ValueError(
                f"test: window 0, or from 32 up and stride from 1 to it; got {self.window} and {self.stride}"
            )
        return self


class SegmentRecipe(FinetuneKeys):
    """See the comments in `recipes/segment/voc_512_20k.toml` for every choice and its source."""

    steps: Annotated[int, Field(ge=0, le=10**9)]
    pictures: Annotated[int, Field(ge=0, le=10**4)] = 8
    """Validation images drawn with predictions beside the truth."""
    data: SegmentData
    fcn: FcnKeys
    views: SegmentViews
    optim: SegmentOptim
    test: SegmentTest

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.data.size[0] < self.data.size[1]:
            raise ValueError(f"data.size: the long side first, got {list(self.data.size)}")
        if self.optim.floor > self.optim.lr:
            raise ValueError(f"optim.floor: {self.optim.floor} is above optim.lr = {self.optim.lr}")
        return self

    @property
    def published_protocol(self) -> str:
        """The name that the figures stand under: `protocol`, and what was changed of the recipe that has this name."""
        shipped = (read_recipe(name) for name in names("segment"))
        return protocol_name(self, shipped, free=(*SAFE, "model", "seed", "precision", "data.classes"))

    def rate(self, step: int) -> float:
        """What the learning rate is multiplied by in a step: (lr - floor) (1 - step / steps)^power + floor, over lr."""
        lr, floor = self.optim.lr, self.optim.floor
        return ((lr - floor) * (1 - step / self.steps) ** self.optim.power + floor) / lr


def read_recipe(name: str, overrides: Sequence[str] = ()) -> SegmentRecipe:
    """The recipe `name` of `eval segment`, shipped or a file's path, with overrides.

    Raises:
        RecipeError, SettingError: as `recipe_files.load`.
    """
    return load(SegmentRecipe, name, overrides, kind="segment")
