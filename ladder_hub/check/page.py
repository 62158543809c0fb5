"""The page: what was found, with pictures of what is suspicious."""

from collections.abc import Iterable
from xml.etree.ElementTree import Element

import numpy as np
import torch
from PIL import Image, ImageDraw

from ladder_hub.analysis.pages.markup import note, section, table, tag
from ladder_hub.analysis.pages.page import render
from ladder_hub.analysis.pages.pictures import photograph
from ladder_hub.check.report import Report, SetReport
from ladder_hub.check.told import to_lines
from ladder_hub.data.image_source import BadImage
from ladder_hub.data.look import NEAR, spread
from ladder_hub.data.pairs_mask import IGNORED
from ladder_hub.downstream.segmentation.pictures import coloured

MADE_BY = "ladder-hub check"
_GROUPS, _IN_GROUP, _SAMPLES = 24, 6, 8
_THUMB = 224
_OUTLINE = (255, 40, 40)

Shown = tuple[SetReport, int]
"""An image: the set that it is in, and its place there."""


def page(report: Report) -> str:
    """The page as HTML."""
    made = [
        ("found", "Found", _found(report)),
        ("both", "In train and in val", _groups(_shared(report), "No image of val is in train, byte for byte.")),
        ("near", "Alike in train and in val", _groups(_near_both(report), _NOT_ALIKE)),
        ("equal", "Equal files in a set", _groups(_equal(report), "No two files of a set are equal.")),
        ("alike", "Alike in a set", _groups(_alike(report), _NOT_ALIKE)),
        ("odd", "Smallest, largest and longest", _groups(_odd(report), "No image could be decoded.")),
        ("samples", "As they are learned from", _groups(_samples(report), "No image could be decoded.")),
    ]
    if len(report.sets) < 2:
        made = [part for part in made if part[0] not in ("both", "near")]
    names = " and ".join(found.data.spec for found in report.sets)
    parts = [section(name, heading, *content) for name, heading, content in made]
    return render(f"Data: {names}", *parts, made_by=MADE_BY, contents=[(f"#{part[0]}", part[1]) for part in made])


_NOT_ALIKE = f"No two images whose perceptual hashes (pHash, 64 bits) differ in {NEAR} bits or fewer."


def _found(report: Report) -> list[Element]:
    faults = [tag("li", fault) for fault in report.faults]
    verdict = [tag("p", "An evaluation of this would not be what it says:"), tag("ul", *faults)] if faults else []
    lines = [(what.strip(), finding) for what, finding in to_lines(report)]
    return [
        *(verdict or [note("Nothing of what was looked at makes a figure lie.")]),
        table("What was found", [], lines),
    ]


def _groups(groups: Iterable[tuple[str, list[Shown]]], none: str) -> list[Element]:
    """Images that belong together side by side, under a line that says why."""
    found = [tag("figure", _strip(images), tag("figcaption", words)) for words, images in groups]
    return [tag("div", *found[:_GROUPS], class_="panels")] if found else [note(none)]


def _strip(images: list[Shown]) -> Element:
    return tag("div", *(_picture(*shown) for shown in images[:_IN_GROUP]), class_="strip")


def _shared(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    val = report.sets[-1]
    for index in report.shared[:_GROUPS].tolist():
        yield val.data.images.key(index), [(val, index)]


def _near_both(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    train, val = report.sets[0], report.sets[-1]
    for a, b in report.near.pairs:
        yield f"{train.data.images.key(a)} ~ {val.data.images.key(b)}", [(train, a), (val, b)]


def _equal(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    for found in report.sets:
        for group in found.repeated[:_GROUPS]:
            yield _named(found, group.tolist()), [(found, int(index)) for index in group]


def _alike(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    for found in report.sets:
        for pair in found.near.pairs:
            yield _named(found, pair), [(found, index) for index in pair]


def _odd(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    for found in report.sets:
        if sound := found.look.sound:
            chosen = (
                min(sound, key=lambda one: one.width * one.height),
                max(sound, key=lambda one: one.width * one.height),
                max(sound, key=lambda one: max(one.width / one.height, one.height / one.width)),
            )
            sizes = ", ".join(f"{one.width}x{one.height}" for one in chosen)
            yield f"{found.data.key}: {sizes}", [(found, one.place) for one in chosen]


def _samples(report: Report) -> Iterable[tuple[str, list[Shown]]]:
    for found in report.sets:
        for place in spread(found.look.total, _SAMPLES).tolist():
            yield _named(found, [place]), [(found, place)]


def _named(found: SetReport, places: Iterable[int]) -> str:
    """Keys, and labels where there are any."""
    data = found.data
    if data.labels is None:
        return ", ".join(data.images.key(place) for place in places)
    return ", ".join(f"{data.images.key(place)} ({data.called(int(data.labels[place]))})" for place in places)


def _picture(found: SetReport, place: int) -> Element:
    """The image with its mask or boxes over it; the reason in its place where it can't be decoded."""
    key = found.data.images.key(place)
    try:
        return photograph(_drawn(found, place), key, most=_THUMB)
    except BadImage as error:
        return tag("span", f"{key}: {error.reason}")


def _drawn(found: SetReport, place: int) -> Image.Image | np.ndarray:
    data = found.data
    if data.pairs is not None:
        return _with_mask(found, place)
    picture = Image.fromarray(_pixels(data.images.image(place)))
    if data.coco is not None:
        canvas = ImageDraw.Draw(picture)
        wide = 1 + max(picture.size) // _THUMB
        for number in data.coco.of_image(place):
            x, y, w, h = data.coco.boxes[number].tolist()
            canvas.rectangle([x, y, x + w, y + h], outline=_OUTLINE, width=wide)
    return picture


def _with_mask(found: SetReport, place: int) -> np.ndarray:
    source = found.data.pairs
    assert source is not None
    image, mask = source.pair(place)
    return coloured(_pixels(image), mask.numpy(), min(source.classes, IGNORED))


def _pixels(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).contiguous().numpy()
