"""The picture of a run: loss, collapse monitor and kNN over the samples seen, one line a level."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from ladder_hub.plotting import STAGE_COLOURS, new_figure, save_figure

Line = Mapping[str, Any]


def draw_curves(log: Sequence[Line], path: Path) -> None:
    """Draw the lines of log.jsonl into a PNG.

    Args:
        log: Training lines with `samples`, `losses`, `std`, and kNN lines with `samples`, `knn`; others are
            left out.
        path: The PNG to write.
    """
    steps = [line for line in log if "losses" in line]
    knn = [line for line in log if "knn" in line]
    figure = new_figure(5 * (3 if knn else 2), 3.6)
    axes: list[Axes] = list(figure.subplots(1, 3 if knn else 2))
    _draw_levels(axes[0], steps, "losses", "Loss per level", "2 - 2 cos, both orders of the views (0 to 8)")
    axes[1].axhline(1.0, color="grey", linewidth=0.8, linestyle=":", label="evenly spread")
    _draw_levels(axes[1], steps, "std", "Collapse monitor per level", "√d · std of unit vectors (0: collapsed)")
    axes[1].set_ylim(bottom=0)
    if knn:
        _draw_knn(axes[2], knn)
    samples = max((line.get("samples", 0) for line in log), default=0)
    figure.suptitle(f"{samples:,} samples seen, {len(steps):,} logged steps", fontsize=10)
    save_figure(figure, path)


def _draw_levels(panel: Axes, steps: Sequence[Line], key: str, title: str, label: str) -> None:
    levels = list(dict.fromkeys(name for line in steps for name in line.get(key, {})))
    for level in levels:
        points = [(line["samples"], line[key][level]) for line in steps if level in line.get(key, {})]
        style = "--" if level.endswith(".dense") else "-"
        marker = "o" if len(points) < 3 else None
        colour = STAGE_COLOURS.get(level.split(".")[0])
        panel.plot(*zip(*points, strict=True), style, color=colour, label=level, linewidth=1.4, marker=marker)
    if levels:
        panel.legend(fontsize=8)
    _dress(panel, title, label, empty=not levels)


def _draw_knn(panel: Axes, knn: Sequence[Line]) -> None:
    points = [(line["samples"], 100 * line["knn"]["top1"]) for line in knn]
    panel.plot(*zip(*points, strict=True), "-o", color="black", markersize=3, linewidth=1.4)
    _dress(panel, "kNN while training", "top-1 (%)", empty=False)


def _dress(panel: Axes, title: str, label: str, *, empty: bool) -> None:
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("samples seen")
    panel.set_ylabel(label, fontsize=8)
    panel.grid(alpha=0.3)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    if empty:
        panel.text(0.5, 0.5, "nothing logged", transform=panel.transAxes, ha="center", color="grey")
