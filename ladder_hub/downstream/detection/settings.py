"""The recipe of `eval detect`: a Mask R-CNN, its schedule, and the data that it learns from and is judged on."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ladder_hub.downstream.finetune.settings import SAFE_ON_RESUME, Count, FinetuneKeys, protocol_name
from ladder_hub.recipe_files import load, names
from ladder_hub.settings import Section

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=32)]

DEFAULT = "coco_1x"
SAFE = (*SAFE_ON_RESUME, "data.images", "data.train", "data.val", "data.val_images")
"""Keys that may change when a run goes on; the annotations are told by their digests."""


class DetectData(Section):
    """`[data]`: COCO JSONs, and the folder or `.tar` that holds the images by their `file_name`."""

    train: str = ""
    """The JSON to learn from."""
    val: str = ""
    """The JSON to be judged on, of the same categories."""
    images: str = ""
    """Where the images of `train` are: a folder or a `.tar`."""
    val_images: str = ""
    """Where those of `val` are; empty: where those of `train` are."""
    empty: Literal["drop", "keep"]
    """Training images without any object: left out, or learned from."""
    flip: Fraction
    """Probability of mirroring left and right."""
    max_bad: Fraction = 0.01
    """Share of images that may fail to decode before the run stops."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader threads; -1: one a core, at most 8."""


class DetectorKeys(Section):
    """`[detector]`: what `downstream.detection.mask_rcnn` takes."""

    sizes: Annotated[tuple[Side, ...], Field(min_length=1)]
    """Short sides while training, one drawn for each image; the last is the test's."""
    max_side: Side
    channels: Count
    smallest_anchor: Count
    rois: Count
    proposals: Count
    detections: Count
    """At most so many an image, in prediction and in AP."""


class OptimKeys(Section):
    """`[optim]`: SGD over every parameter, steps down after a linear warm-up."""

    lr: Positive
    momentum: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    milestones: tuple[Positive, ...]
    """Epochs after which the rate falls to a tenth."""
    warmup_steps: Annotated[int, Field(ge=0)]
    warmup_from: Fraction
    """Share of the rate in the first step."""


class DetectRecipe(FinetuneKeys):
    """See the comments in `recipes/detect/coco_1x.toml` for every choice and its source."""

    epochs: Count
    pictures: Annotated[int, Field(ge=0)] = 8
    """Validation images drawn with predictions beside the truth."""
    data: DetectData
    detector: DetectorKeys
    optim: OptimKeys

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        tested, most = self.detector.sizes[-1], self.detector.max_side
        if tested > most:
            raise ValueError(f"detector.max_side: {most} is below the test's short side, {tested}")
        return self

    @property
    def published_protocol(self) -> str:
        """The name that the figures stand under: `protocol`, and what was changed of the recipe that has this name."""
        shipped = (read_recipe(name) for name in names("detect"))
        return protocol_name(self, shipped, free=(*SAFE, "model", "seed", "precision", "pictures"))


def read_recipe(name: str, overrides: Sequence[str] = ()) -> DetectRecipe:
    """The recipe `name` of `eval detect`, shipped or a file's path, with overrides.

    Raises:
        RecipeError, SettingError: as `recipe_files.load`.
    """
    return load(DetectRecipe, name, overrides, kind="detect")
