"""What was found in the sets, and what of it would make a figure lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ladder_hub.check.sets import CheckData, CheckSettings, DataSet
from ladder_hub.data.look import ImageLook, look_at_images, near_pairs
from ladder_hub.data.overlap import MOST_OVERLAP, repeated_images, shared_images
from ladder_hub.data.pairs_look import MaskLook, look_at_masks, mask_faults
from ladder_hub.downstream.detection.coco import CUT, CocoError, CocoSet, check_same_categories
from ladder_hub.downstream.detection.look import box_faults

Pair = tuple[int, int]
_NAMED = 3
_SHOWN = 24


@dataclass
class Alike:
    """Images that look like another and are not equal to it, of those that were looked at.

    Attributes:
        images: How many of the second set have such another.
        pairs: Places of some of them.
    """

    images: int = 0
    pairs: list[Pair] = field(default_factory=list)


@dataclass(frozen=True)
class SetReport:
    """What was found in one set."""

    data: DataSet
    look: ImageLook
    repeated: list[np.ndarray]
    """Groups of images that are equal byte for byte."""
    near: "Alike"
    """Images that look like another one and are not equal to it."""
    masks: MaskLook | None = None

    def other_labels(self) -> list[np.ndarray]:
        """The groups of equal images whose labels differ."""
        labels = self.data.labels
        return [] if labels is None else [group for group in self.repeated if len(set(labels[group].tolist())) > 1]


@dataclass(frozen=True)
class Report:
    """What was found in all sets.

    Attributes:
        sets: In the order in which they were named.
        shared: Images of val that are in train too, indices of val.
        near: Images of val that look like one of train; places in train and in val.
        faults: Why an evaluation of this would lie; a line each.
    """

    sets: list[SetReport]
    shared: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    near: Alike = field(default_factory=Alike)
    faults: list[str] = field(default_factory=list)


def look_at(sets: Sequence[DataSet], settings: CheckSettings, step: Callable[[str], None] = lambda _: None) -> Report:
    """Look at sets that `open_sets` opened; `step` is told what is done next."""
    workers = settings.data.workers
    reports = [_one(data, settings, step) for data in sets]
    if len(reports) == 2:
        train, val = reports
        step("images in both")
        shared = shared_images(train.data.images, val.data.images, workers=workers)
        found = Report(reports, shared, _alike(train.look, val.look, unlike=lambda _, val: ~np.isin(val, shared)))
    else:
        found = Report(reports)
    found.faults.extend(_faults(found, settings.data))
    return found


def _one(data: DataSet, settings: CheckSettings, step: Callable[[str], None]) -> SetReport:
    workers = settings.data.workers
    step(f"{data.key}: images")
    look = look_at_images(data.images, most=settings.n, workers=workers)
    step(f"{data.key}: equal files")
    repeated = repeated_images(data.images, workers=workers)
    same = np.arange(len(data.images))
    for group in repeated:
        same[group] = group[0]
    near = _alike(look, unlike=lambda a, b: same[a] != same[b])
    masks = None
    if data.pairs is not None:
        step(f"{data.key}: masks")
        until_all = settings.data.absent == "refuse" and data.classes_told
        masks = look_at_masks(data.pairs, workers=workers, until_all=until_all)
    return SetReport(data, look, repeated, near, masks)


def _alike(
    look: ImageLook, other: ImageLook | None = None, *, unlike: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Alike:
    """Images whose hashes differ in few bits, where `unlike` says of their places that they are not equal."""
    told = [[one for one in found.sound if not one.plain] for found in (look, other or look)]
    hashes = [np.array([one.hash for one in some], dtype=np.uint64) for some in told]
    places = [np.array([one.place for one in some], dtype=np.int64) for some in told]
    found, having = Alike(), np.zeros(len(places[1]), dtype=bool)
    for pairs in near_pairs(hashes[0], hashes[1] if other else None):
        kept = pairs[unlike(places[0][pairs[:, 0]], places[1][pairs[:, 1]])]
        having[kept[:, 1]] = True
        if not other:
            having[kept[:, 0]] = True
        some = kept[: _SHOWN - len(found.pairs)]
        found.pairs += [(int(places[0][a]), int(places[1][b])) for a, b in some.tolist()]
    found.images = int(having.sum())
    return found


def _faults(found: Report, settings: CheckData) -> list[str]:
    faults = [fault for report in found.sets for fault in _faults_of(report, settings)]
    if len(found.sets) == 2:
        faults += _faults_between(found)
    return faults


def _faults_of(report: SetReport, settings: CheckData) -> list[str]:
    data, look, faults = report.data, report.look, []
    if len(look.broken) > settings.max_bad * len(look.seen):
        some = ", ".join(f"{data.images.key(one.place)} ({one.reason})" for one in look.broken[:_NAMED])
        faults.append(f"{data.key}: {len(look.broken)} of {len(look.seen)} images can't be decoded: {some}")
    odd = sum(len(group) for group in report.other_labels())
    if odd > settings.max_bad * look.total:
        faults.append(f"{data.key}: {odd} of {look.total} images have an equal one with another label")
    if data.labels is not None and len(data.present()) < 2:
        faults.append(f"{data.key}: all images are of one class: there is nothing to tell apart")
    if report.masks is not None and data.pairs is not None:
        absent = settings.absent == "allow" or not data.classes_told
        faults += mask_faults(report.masks, data.pairs, data.key, max_bad=settings.max_bad, absent=absent)
    if data.coco is not None and (gone := sum(data.coco.left_out.values())):
        whole = len(data.coco.boxes) + gone - data.coco.left_out.get(CUT, 0)
        if gone > settings.max_bad * whole:
            faults.append(f"{data.key}: {gone} of {whole} annotations can't be used as they stand")
    return faults


def _faults_between(found: Report) -> list[str]:
    train, val = (report.data for report in found.sets)
    faults = []
    if len(found.shared) > MOST_OVERLAP * found.sets[1].look.total:
        faults.append(
            f"{len(found.shared)} of the {found.sets[1].look.total} images of data.val are in data.train too: a figure "
            "of them says what was learned by heart"
        )
    if train.coco is not None and val.coco is not None:
        faults += _odd_categories(train.coco, val.coco) or box_faults(train.coco, val.coco)
    if train.labels is not None and val.labels is not None:
        faults += _odd_classes(train, val)
    return faults


def _odd_classes(train: DataSet, val: DataSet) -> list[str]:
    """Classes by their names where both have them, else by their numbers."""
    named = train.class_names and val.class_names
    there = [{data.called(label) if named else f"class {label}" for label in data.present()} for data in (train, val)]
    if not (never := sorted(there[1] - there[0])):
        return []
    some = ", ".join(never[:_NAMED]) + (", ..." if len(never) > _NAMED else "")
    return [f"{len(never)} of the {len(there[1])} classes of data.val have no image in data.train: {some}"]


def _odd_categories(train: CocoSet, val: CocoSet) -> list[str]:
    try:
        check_same_categories(train, val)
    except CocoError as error:
        return [str(error)]
    return []
