"""The picture of `analyse views`: violins, a group a stage, one colour and hatching a model (the paper's Fig. 3)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from ladder_hub.analysis.labels import short_names
from ladder_hub.analysis.views_result import StageViews, ViewsAnalysis
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.plotting import area_style, new_figure

_GROUP = 0.86  # of the distance between two stages: what a group of violins takes
_OTHER = "#BBBBBB"


def draw_views(result: ViewsAnalysis) -> Figure:
    """Above: Euclidean distances as the paper shows them. Below: of unit vectors, beside those of other images."""
    count = len(result.models)
    figure = new_figure(max(7.0, 3.0 + 1.1 * count), 7.2)
    above, below = figure.subplots(2, 1)
    patches = []
    for number, (model, name) in enumerate(zip(result.models, short_names(result.models_named), strict=True)):
        colour, hatch = area_style(number)
        patches.append(Patch(facecolor=colour, edgecolor="black", hatch=hatch, alpha=0.75, label=name))
        width = _GROUP / count
        for stage, found in enumerate(model.stages):
            place = stage + (number - (count - 1) / 2) * width
            _violin(above, found.same.raw, place, 0.9 * width, colour, hatch)
            _halves(below, found, place, 0.9 * width, colour, hatch)
    same = Patch(facecolor="white", edgecolor="black", label="left half: two views of one image")
    other = Patch(facecolor=_OTHER, edgecolor="black", label="right half: views of two images")
    views = f"views of {result.views['recipe']} at {result.views['image_size']} px"
    figure.suptitle(f"n = {result.n:,} images, {views}; lines are medians", fontsize=9)
    _dress(above, "Two views of one image (as the paper's Fig. 3)", "Euclidean distance")
    _dress(
        below, "The same as unit vectors: comparable between models and stages", "Euclidean distance of unit vectors"
    )
    above.legend(handles=patches, fontsize=8, loc="upper left")
    below.legend(handles=[same, other], fontsize=8, loc="upper left")
    return figure


def _violin(panel: Axes, values: np.ndarray, place: float, width: float, colour: str, hatch: str, **side: Any) -> None:
    parts: Any = panel.violinplot([values], [place], widths=width, showextrema=False, **side)
    (body,) = parts["bodies"]
    body.set(facecolor=colour, edgecolor="black", hatch=hatch, alpha=0.75, linewidth=0.6)
    middle, half = float(np.median(values)), width / 2
    left, right = {"low": (half, 0.0), "high": (0.0, half)}.get(side.get("side", ""), (half / 2, half / 2))
    edged = [withStroke(linewidth=3.2, foreground="white")]  # seen on any colour
    panel.hlines(middle, place - left, place + right, color="black", linewidth=1.6, path_effects=edged)


def _halves(panel: Axes, found: StageViews, place: float, width: float, colour: str, hatch: str) -> None:
    _violin(panel, found.same.unit, place, width, colour, hatch, side="low")
    _violin(panel, found.other.unit, place, width, _OTHER, "", side="high")


def _dress(panel: Axes, title: str, label: str) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_ylabel(label, fontsize=9)
    panel.set_xticks(range(len(STAGE_NAMES)), STAGE_NAMES)
    panel.set_xlim(-0.5, len(STAGE_NAMES) - 0.5)
    low, high = panel.get_ylim()
    panel.set_ylim(min(0.0, low), high * 1.15)  # room for the legend
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)
    for edge in range(1, len(STAGE_NAMES)):
        panel.axvline(edge - 0.5, color="grey", linewidth=0.6)
