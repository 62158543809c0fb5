"""The pictures of `analyse collapse` and `analyse collapse-demo`."""

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder_hub.analysis.collapse_demo_result import Arm, CollapseDemo
from ladder_hub.analysis.collapse_result import CollapseAnalysis, RunCollapse
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.plotting import STAGE_COLOURS, STAGE_MARKERS, new_figure
from ladder_hub.training.monitors import COLLAPSED_STD

_BOUND: dict[str, Any] = {"color": "grey", "linewidth": 1, "linestyle": ":"}


def draw_collapse(analysis: CollapseAnalysis) -> Figure:
    """A row a run: spread on the left, effective rank on the right; lines are heads, hollow markers stages."""
    rows = len(analysis.runs)
    figure = new_figure(9.5, 3.5 * rows + 0.4)
    for place, (name, run) in enumerate(zip(analysis.names, analysis.runs, strict=True)):
        left, right = (figure.add_subplot(rows, 2, 2 * place + column) for column in (1, 2))
        _draw_spread(left, run)
        _draw_rank(right, run)
        title = "\n".join(textwrap.wrap(f"{name} (n = {run.networks[-1].n} images): {run.verdict}", 110))
        left.set_title(title, fontsize=9, loc="left")
        right.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def draw_demo(demo: CollapseDemo) -> Figure:
    """A panel an arm: the spread of every stage, and of what the loss compared, by step.

    Of a stage pooled and cell by cell the larger spread: where it falls below the bound, all has collapsed.
    """
    figure = new_figure(9.5, 7)
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for panel, arm in zip(axes.flat, demo.arms, strict=True):
        _draw_arm(panel, arm)
    for panel in axes[:, 0]:
        panel.set_ylabel("√d · std of unit vectors (0: constant)", fontsize=8)
    for panel in axes[1]:
        panel.set_xlabel("optimiser steps")
    axes.flat[0].legend(fontsize=7.5, loc="lower left", ncols=2)
    figure.suptitle(
        f"Global loss on {demo.stage} of a tiny ResNet: its stages on n = {demo.n} images (seed {demo.seed})",
        fontsize=10,
    )
    return figure


def _draw_spread(panel: Axes, run: RunCollapse) -> None:
    for head in run.heads:
        panel.plot(head.steps, head.std, _dashes(head.name), **_line(head.name))
    for stage in STAGE_NAMES:
        panel.plot(*_points(run, stage, "std"), **_marker(stage))
    panel.axhline(COLLAPSED_STD, **_BOUND)
    panel.set_ylim(0, 1.05)
    panel.set_ylabel("√d · std of unit vectors (0: constant)", fontsize=8)
    _dress(panel, run)


def _draw_rank(panel: Axes, run: RunCollapse) -> None:
    for head in run.heads:
        panel.plot(head.steps, head.rank, _dashes(head.name), **_line(head.name), label=f"{head.name} head")
    for stage in STAGE_NAMES:
        panel.plot(*_points(run, stage, "centred_rank"), **_marker(stage), label=f"{stage}, pooled")
    panel.plot([], [], **_BOUND, label="bound of collapse (left)")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("effective rank (dimensions)", fontsize=8)
    _dress(panel, run)


def _draw_arm(panel: Axes, arm: Arm) -> None:
    steps = [reading.step or 0 for reading in arm.readings]
    for stage in STAGE_NAMES:
        values = [max(reading.stages[stage].pooled.std, reading.stages[stage].cells.std) for reading in arm.readings]
        panel.plot(
            *(steps, values),
            color=STAGE_COLOURS[stage],
            marker=STAGE_MARKERS[stage],
            markevery=max(1, len(steps) // 8),
            markersize=4.5,
            linewidth=1.4,
            label=stage,
        )
    panel.plot(
        range(len(arm.compared)), arm.compared, "--", color="black", linewidth=1.1, label="what the loss compares"
    )
    panel.axhline(COLLAPSED_STD, **_BOUND, label="bound of collapse")
    panel.set_yscale("log")
    panel.set_ylim(0.008, 1.3)
    panel.set_title(arm.name, fontsize=9)
    panel.grid(alpha=0.3)


def _points(run: RunCollapse, stage: str, figure: str) -> tuple[list[int], list[float]]:
    values = [getattr(network.stages[stage].pooled, figure) for network in run.networks]
    return [network.step or 0 for network in run.networks], values


def _dress(panel: Axes, run: RunCollapse) -> None:
    known = run.networks[-1].step is not None
    panel.set_xlabel("optimiser steps" if known else "a model without its run: step unknown", fontsize=8)
    if not known:
        panel.set_xticks([])
    panel.grid(alpha=0.3)


def _dashes(head: str) -> str:
    return "--" if head.endswith(".dense") else "-"


def _line(head: str) -> dict[str, Any]:
    stage = head.split(".")[0]
    return {
        "color": STAGE_COLOURS[stage],
        "marker": STAGE_MARKERS[stage],
        "markevery": 0.25,
        "markersize": 3,
        "linewidth": 1.2,
    }


def _marker(stage: str) -> dict[str, Any]:
    return {
        "color": STAGE_COLOURS[stage],
        "marker": STAGE_MARKERS[stage],
        "markerfacecolor": "white",
        "markersize": 7,
        "linestyle": ":",
        "linewidth": 1,
    }
