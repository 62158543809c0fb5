"""Collapse monitors: whether any head's unit vectors fall on a point or a line while its loss looks fine."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from ladder_hub.analysis.pages.markup import Part, note, section, tag
from ladder_hub.analysis.report.curves import panels
from ladder_hub.analysis.report.overview import key
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.training.monitors import COLLAPSED_RANK, COLLAPSED_STD, Spread


def collapse(runs: Sequence[ReportedRun], stages: Sequence[Element]) -> Element:
    """The section: warnings first, then both monitors of every head, then `stages`, what the backbone's maps are."""
    watched = [run for run in runs if run.names("std")]
    if not watched:
        return section("collapse", "Collapse", note("No run has logged its monitors yet."), *stages)
    parts: list[Part] = [
        tag("p", "Heads are judged on the projections of a training batch, at every logged step."),
        *(_verdict(run) for run in watched),
        key(watched),
        tag("h3", "Spread: standard deviation of unit vectors, an axis, times √d"),
        tag("p", "1 is an even spread over the sphere, 0 a single point: complete collapse."),
        panels(runs, "std", "√d · std", level=COLLAPSED_STD, floor=f"collapsed below {COLLAPSED_STD}"),
        tag("h3", "Effective rank of unit vectors"),
        tag("p", "How many directions they fill, at most the batch and the width; 1 is a single line."),
        panels(runs, "rank", "effective rank", level=COLLAPSED_RANK, floor=f"collapsed below {COLLAPSED_RANK}"),
        *stages,
    ]
    return section("collapse", "Collapse", *parts)


def collapsed_at(run: ReportedRun) -> dict[str, int]:
    """{head: the first of two logged steps in a row at which it looked collapsed}, as the run itself is warned."""
    found: dict[str, int] = {}
    low: dict[str, int] = {}
    for record in run.steps:
        for head, std in run.table(record, "std").items():
            rank = run.table(record, "rank").get(head, float("inf"))
            if not Spread(std, rank).collapsed:
                low.pop(head, None)
            elif head in low:
                found.setdefault(head, low[head])
            else:
                low[head] = record.get("step", 0)
    return found


def _verdict(run: ReportedRun) -> Element:
    found = collapsed_at(run)
    if found:
        told = ", ".join(f"{head} from step {step:,}" for head, step in sorted(found.items()))
        return tag("p", f"⚠ {run.name}: collapsed: {told}.", class_="warning")
    spreads = next(table for record in reversed(run.steps) if (table := run.table(record, "std")))
    lowest = min(spreads, key=lambda head: spreads[head])
    return tag("p", f"{run.name}: no collapse. The narrowest at the end is {lowest}: {spreads[lowest]:.2f} of 1/√d.")
