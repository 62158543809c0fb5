"""Curves over samples seen: a small chart a level, every run in its own line."""

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from ladder_hub.analysis.pages.charts import chart
from ladder_hub.analysis.pages.markup import note, picture, section, tag
from ladder_hub.analysis.report.overview import key
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.plotting import new_figure

_MOST = 300  # points of a line: more than a chart of this width shows
_FEW = 20  # each can be seen as a point
Points = list[tuple[int, float]]


def curves(runs: Sequence[ReportedRun]) -> Element:
    """The section: loss of every level, learning rate, kNN while training."""
    if not any(run.steps for run in runs):
        return section("curves", "Curves", note("No run has logged a step yet."))
    rate = line_chart(runs, "Learning rate", "learning rate", "lr")
    total = line_chart(runs, "Total loss", "weighted sum of the levels", "loss")
    voted = line_chart(runs, "kNN while training", "top-1 (%)", "knn", "top1", scale=100)
    parts: list[Element] = [
        tag("p", "A level's loss is 2 - 2 cos, over both orders of the views: 0 is perfect agreement, 8 the opposite."),
        key(runs),
        tag("h3", "Loss of each level"),
        panels(runs, "losses", "loss (0 to 8)"),
        tag("h3", "The run as a whole"),
        tag("div", *(panel for panel in (total, rate, voted) if panel is not None), class_="panels"),
    ]
    return section("curves", "Curves", *parts)


def panels(
    runs: Sequence[ReportedRun], name: str, label: str, *, level: float | None = None, floor: str = ""
) -> Element:
    """A chart for each name that a logged table has (a level, a head), stages upwards.

    Args:
        runs: Whose lines.
        name: Of the table in the log: `losses`, `std`, `rank`.
        label: Of the vertical axis.
        level: Where a dotted line lies.
        floor: What that line means.
    """
    found = sorted({inner for run in runs for inner in run.names(name)})
    charts = (line_chart(runs, inner, label, name, inner, level=level, floor=floor) for inner in found)
    return tag("div", *(each for each in charts if each is not None), class_="panels")


def line_chart(
    runs: Sequence[ReportedRun],
    title: str,
    label: str,
    name: str,
    inner: str = "",
    *,
    scale: float = 1,
    level: float | None = None,
    floor: str = "",
) -> Element | None:
    """One chart with its line of words; None where no run has logged it."""
    lines = [(run, run.points(name, inner)) for run in runs]
    lines = [(run, [(at, scale * value) for at, value in points]) for run, points in lines if points]
    if not lines:
        return None
    figure = new_figure(3.3, 2.3)
    axes: Axes = figure.subplots()
    if level is not None:
        axes.axhline(level, color="#000000", linewidth=0.8, linestyle=":")
        axes.annotate(floor, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    marker = "o" if all(len(points) < _FEW for _, points in lines) else None
    for run, points in lines:
        style: dict[str, Any] = {"color": run.colour, "linestyle": run.dashes, "marker": marker, "markersize": 3}
        axes.plot(*zip(*thinned(points), strict=True), linewidth=1.5, **style)
    if name in ("losses", "std", "rank"):
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("samples seen", fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.4)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    told = [f"{run.name}: {_change(points)}" for run, points in lines]
    words = tag("span", *(tag("span", line, class_="line") for line in told))
    return picture(chart(figure, f"{title}, {label}, over samples seen. {'; '.join(told)}."), words)


def thinned(points: Points) -> Points:
    """At most as many points as a chart can show: means of neighbours, so that no peak is made up."""
    if len(points) <= _MOST:
        return points
    means = [np.mean(part, axis=0) for part in np.array_split(np.array(points, dtype=float), _MOST)]
    return [(round(at), float(value)) for at, value in means]


def _change(points: Points) -> str:
    """From the first to the last, and over how many."""
    first, last = points[0][1], points[-1][1]
    return f"{last:.3g} (n = 1)" if len(points) == 1 else f"{first:.3g} → {last:.3g} (n = {len(points):,})"
