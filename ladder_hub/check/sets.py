"""What is looked at: sets of images, pairs or annotations, opened as training and the evaluations open them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field

from ladder_hub.data.image_source import DataError, expanded
from ladder_hub.data.overlap import Files
from ladder_hub.data.pairs import PairSource, open_pairs
from ladder_hub.data.pairs_classes import class_names_beside
from ladder_hub.data.pairs_mask import MOST_CLASSES
from ladder_hub.data.pairs_tar import TarPairs
from ladder_hub.data.shards import expand_shards
from ladder_hub.data.sources import is_stream, open_source, open_stream
from ladder_hub.downstream.detection.coco import CocoSet
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_reader import read_coco
from ladder_hub.errors import UserError
from ladder_hub.settings import Section

_HELD = 1000
"""Images of a stream, which lie in memory."""
_PATIENCE = 60
_BOTH = ("data.train", "data.val")


class CheckData(Section):
    """`[data]`, as the evaluations have it."""

    train: str = ""
    val: str = ""
    images: str = ""
    """Where the images of a COCO JSON are: a folder or a `.tar`."""
    val_images: str = ""
    """Where those of `val` are; empty: where those of `train` are."""
    classes: Annotated[int, Field(ge=0, le=MOST_CLASSES)] = 0
    """Of masks; 0: `classes.txt` says."""
    values: tuple[Annotated[int, Field(ge=0, le=2**16 - 1)], ...] = ()
    """What stands in the masks for class 0, 1, ..."""
    absent: Literal["refuse", "allow"] = "refuse"
    """Classes that are in no mask."""
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the images that may be unusable."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Loader threads; -1: one a core, at most 8."""


class CheckSettings(Section):
    """What `check` takes."""

    data: CheckData = CheckData()
    n: Annotated[int, Field(ge=1, le=50_000)] = 20_000
    """Images of each set that are decoded, from all over it; files are compared whole, all of them."""
    out: str = ""
    """The page with pictures; empty: none."""


class Images(Files, Protocol):
    """Files that are images."""

    def image(self, index: int) -> torch.Tensor:
        """Decoded, uint8 (3, H, W), RGB. Raises BadImage."""
        ...


@dataclass(frozen=True)
class DataSet:
    """One set. Attributes that its kind has not are None."""

    key: str
    """`data.train`, `data.val`, or `data` where one alone was named."""
    spec: str
    kind: str
    """What provenance calls it."""
    images: Images
    labels: np.ndarray | None = None
    """int64 (N,)."""
    class_names: list[str] | None = None
    pairs: PairSource | None = None
    coco: CocoSet | None = None
    classes_told: bool = True
    """Whether it is known which labels masks may hold."""

    def present(self) -> list[int]:
        """Labels that some image has."""
        return [] if self.labels is None else np.unique(self.labels).tolist()

    def called(self, label: int) -> str:
        """A class by its name, else by its number."""
        return self.class_names[label] if self.class_names and label < len(self.class_names) else f"class {label}"


def open_sets(data: CheckData, alone: str = "") -> list[DataSet]:
    """The sets that were named.

    Args:
        data: The settings.
        alone: One source, instead of data.train and data.val.

    Raises:
        UserError: none is named, both ways are used, or one can't be opened.
    """
    specs = {key: spec for key, spec in zip(_BOTH, (data.train, data.val), strict=True) if spec}
    if bool(alone) == bool(specs):
        raise UserError("check takes one source, or data.train=IMAGES data.val=IMAGES as the evaluations do")
    if not specs:
        try:
            return _opened({"data": alone}, data)
        except DataError as error:
            raise DataError(str(error).replace("data.train=", "")) from None
    return _opened(specs, data)


def _opened(specs: dict[str, str], data: CheckData) -> list[DataSet]:
    if any(spec.endswith(".json") for spec in specs.values()):
        return [_annotated(key, spec, data) for key, spec in specs.items()]
    if all(_holds_masks(spec) for spec in specs.values()):
        return _with_masks(specs, data)
    return [_plain(key, spec) for key, spec in specs.items()]


def _annotated(key: str, spec: str, data: CheckData) -> DataSet:
    coco = read_coco(spec, key=key)
    own = key == "data.val" and data.val_images
    where, place = ("data.val_images", data.val_images) if own else ("data.images", data.images)
    return DataSet(key, spec, "coco", CocoImages(place, coco, key=where), coco=coco)


def _with_masks(specs: dict[str, str], data: CheckData) -> list[DataSet]:
    train, val = next(iter(specs.values())), list(specs.values())[-1]
    told = data.classes or data.values or any(class_names_beside(expanded(spec)) for spec in specs.values())
    pairs = open_pairs(train, val, classes=data.classes if told else MOST_CLASSES, values=data.values)
    return [
        DataSet(
            key,
            spec,
            source.fingerprint()["source"],
            source,
            class_names=source.class_names,
            pairs=source,
            classes_told=bool(told),
        )
        for (key, spec), source in zip(specs.items(), pairs, strict=False)
    ]


def _plain(key: str, spec: str) -> DataSet:
    if is_stream(spec):
        notes: list[str] = []
        source: Any = open_stream(spec, samples=_HELD, buffer=1, patience=_PATIENCE, say=notes.append).first(_HELD)
        source.note = "".join(notes)
    else:
        source = open_source(spec, split="val" if key == "data.val" else "train")
    kind = source.fingerprint()["source"]
    return DataSet(key, spec, kind, source, labels=source.labels, class_names=source.class_names)


def _holds_masks(spec: str) -> bool:
    """Whether this is what `eval segment` takes."""
    if is_stream(spec) or spec.startswith("hf:"):
        return False
    path = expanded(spec)
    if path.is_dir():
        return (path / "images").is_dir() and (path / "masks").is_dir()
    if path.suffix == ".txt":
        return True
    if path.suffix != ".tar":
        return False
    try:
        return len(TarPairs(expand_shards(spec)[:1], spec=spec)) > 0
    except (DataError, OSError):  # what is wrong with it is told where it is opened
        return False
