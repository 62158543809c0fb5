"""What was found, as numbers for JSON and as lines for people."""

from typing import Any

import numpy as np

from ladder_hub.check.report import Report, SetReport
from ladder_hub.data.look import NEAR
from ladder_hub.data.pairs_look import MaskLook, told_masks
from ladder_hub.data.pairs_mask import IGNORED
from ladder_hub.data.sources import notes_of
from ladder_hub.downstream.detection.look import counted_boxes, told_boxes, told_never_learned

_NAMED = 3
_LISTED = 100


def to_json(report: Report) -> dict[str, Any]:
    """Everything that was found; of long lists the first hundred."""
    facts: dict[str, Any] = {"sets": [_set_json(found) for found in report.sets], "faults": report.faults}
    if len(report.sets) == 2:
        train, val = (found.data.images for found in report.sets)
        facts["overlap"] = {
            "images": len(report.shared),
            "val": [val.key(int(index)) for index in report.shared[:_LISTED]],
        }
        facts["near"] = {
            "images": report.near.images,
            "pairs": [[train.key(a), val.key(b)] for a, b in report.near.pairs],
            "bits": NEAR,
        }
    return facts


def _set_json(found: SetReport) -> dict[str, Any]:
    data, look = found.data, found.look
    key = data.images.key
    facts: dict[str, Any] = {
        "set": data.key,
        "spec": data.spec,
        "source": data.kind,
        "images": look.total,
        "looked": len(look.seen),
        "notes": notes_of(data.images),
        "formats": look.formats(),
        "modes": look.modes(),
        "sizes": [list(size) for size in look.sizes()],
        "broken": {
            "images": len(look.broken),
            "which": [[key(one.place), one.reason] for one in look.broken[:_LISTED]],
        },
        "equal": {
            "groups": len(found.repeated),
            "images": sum(map(len, found.repeated)),
            "other_label": sum(map(len, found.other_labels())),
            "which": [[key(int(index)) for index in group[:_LISTED]] for group in found.repeated[:_LISTED]],
        },
        "near": {
            "images": found.near.images,
            "pairs": [[key(a), key(b)] for a, b in found.near.pairs],
            "bits": NEAR,
        },
    }
    if data.labels is not None:
        facts["labels"] = {data.called(label): int((data.labels == label).sum()) for label in data.present()}
    if found.masks is not None:
        pixels, masks = found.masks.pixels, found.masks.masks
        facts["masks"] = {
            "looked": found.masks.looked,
            "values": {str(value): {"pixels": pixels[value], "masks": masks[value]} for value in sorted(pixels)},
            "bad": [list(bad) for bad in found.masks.bad[:_LISTED]],
        }
    if (coco := data.coco) is not None:
        boxes = counted_boxes(coco).tolist()
        facts["boxes"] = {
            "categories": dict(zip(coco.categories.values(), boxes, strict=True)),
            "crowds": int(coco.crowd.sum()),
            "images_without": int((np.diff(coco.first) == 0).sum()),
            "left_out": coco.left_out,
        }
    return facts


def to_lines(report: Report) -> list[tuple[str, str]]:
    """(what, finding) for a table."""
    lines = [line for found in report.sets for line in _set_lines(found)]
    if len(report.sets) == 2:
        train, val = report.sets
        lines.append(("in both", _some_of(len(report.shared), val, [int(index) for index in report.shared])))
        lines.append(("alike in both", _pairs(report.near.images, report.near.pairs, train, val)))
        both = train.data.coco, val.data.coco
        if both[0] and both[1] and (line := told_never_learned(both[0], both[1])):
            lines.append(("categories", line))
    return lines


def _set_lines(found: SetReport) -> list[tuple[str, str]]:
    data, look, key = found.data, found.look, found.data.key
    some = "" if len(look.seen) == look.total else f", {len(look.seen)} of them decoded"
    lines = [(key, f"{data.spec} ({data.kind}): {look.total} images{some}")]
    lines += [("  note", note) for note in notes_of(data.images)]
    if look.sound:
        least, middle, most = (f"{width}x{height}" for width, height in look.sizes())
        sizes = least if least == most else f"{least} to {most}, the middle one {middle}"
        lines.append(("  kinds", f"{_counted(look.formats())}; {_counted(look.modes())}; {sizes}"))
    broken = [f"{data.images.key(one.place)} ({one.reason})" for one in look.broken]
    lines.append(("  can't be decoded", _first(len(broken), broken)))
    groups = [" = ".join(data.images.key(int(index)) for index in group[:2]) for group in found.repeated]
    odd = sum(map(len, found.other_labels()))
    labels = f"; {odd} images with different labels" if odd else ""
    lines.append(("  equal files", _first(len(groups), groups) + labels))
    lines.append(("  alike", _pairs(found.near.images, found.near.pairs, found, found)))
    if data.labels is not None:
        lines.append(("  labels", _labels(found)))
    elif found.masks is None and data.coco is None:
        lines.append(("  labels", "none"))
    if found.masks is not None and data.pairs is not None:
        lines.append(("  masks", told_masks(found.masks, data.pairs) if data.classes_told else _values(found.masks)))
    if data.coco is not None:
        lines.append(("  boxes", told_boxes(data.coco)))
    return lines


def _labels(found: SetReport) -> str:
    labels = found.data.labels
    assert labels is not None
    present = found.data.present()
    counts = {label: int((labels == label).sum()) for label in present}
    least, most = min(present, key=counts.__getitem__), max(present, key=counts.__getitem__)
    return (
        f"{len(present)} classes of {counts[least]} ({found.data.called(least)}) to {counts[most]} "
        f"({found.data.called(most)}) images"
    )


def _values(masks: MaskLook) -> str:
    """Where nobody has said how many classes there are."""
    values = sorted(masks.pixels)
    most = max((value for value in values if value != IGNORED), default=0)
    named = ", ".join(map(str, values if len(values) <= _LISTED // 5 else [*values[:_NAMED], "...", values[-1]]))
    return f"{masks.looked} looked at, which hold {named}; how many classes is not said: data.classes={most + 1}?"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _first(count: int, names: list[str]) -> str:
    return f"{count}: {', '.join(names[:_NAMED])}{', ...' if count > _NAMED else ''}" if count else "none"


def _some_of(count: int, found: SetReport, places: list[int]) -> str:
    return _first(count, [found.data.images.key(place) for place in places[:_NAMED]])


def _pairs(count: int, pairs: list[tuple[int, int]], first: SetReport, second: SetReport) -> str:
    names = [f"{first.data.images.key(a)} ~ {second.data.images.key(b)}" for a, b in pairs]
    return _first(count, names)
