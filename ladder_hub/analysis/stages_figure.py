"""The picture of `analyse stages`: bars with 95 % intervals, and the paper's Table 7 in a panel of its own."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder_hub import paper
from ladder_hub.analysis.labels import short_names
from ladder_hub.analysis.stages_result import StagesAnalysis
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.plotting import area_style, new_figure

_GROUP = 0.84  # of the distance between two stages: what a group of bars takes
_PAPER = (("#DDDDDD", ""), ("#888888", "///"))  # grey: nobody here has measured these


def draw_stages(result: StagesAnalysis) -> Figure:
    """Left: what was measured. Right: what the paper printed, on other images, with another network."""
    count = len(result.models)
    figure = new_figure(max(9.0, 5.5 + 1.0 * count), 4.0)
    measured, printed = figure.subplots(1, 2, width_ratios=(max(1.6, 0.55 * count), 1))
    for number, (model, name) in enumerate(
        zip(result.models, short_names([m.model for m in result.models]), strict=True)
    ):
        values = [100 * model.figures[stage].value for stage in STAGE_NAMES]
        ends = [[100 * end for end in model.figures[stage].ci95] for stage in STAGE_NAMES]
        lower = [max(0.0, value - low) for value, (low, _) in zip(values, ends, strict=True)]
        upper = [max(0.0, high - value) for value, (_, high) in zip(values, ends, strict=True)]
        _bars(measured, number, count, values, name, area_style(number), errors=[lower, upper])
    if result.chance is not None:
        measured.axhline(100 * result.chance, color="black", linestyle=":", linewidth=1, label="chance")
    rows = paper.rows(7)
    for number, (row, style) in enumerate(zip(rows, _PAPER, strict=True)):
        _bars(printed, number, len(rows), [row.figures[stage] for stage in STAGE_NAMES], row.method, style)
    n = result.models[0].figures["res5"].n
    _dress(measured, f"{result.protocol}\nn = {n:,} validation images, whiskers: 95 % intervals")
    _dress(printed, "The paper's Table 7, not measured here\nlinear, ImageNet, ResNet-50")
    return figure


def _bars(
    panel: Axes,
    number: int,
    count: int,
    values: list[float],
    name: str,
    style: tuple[str, str],
    errors: list[list[float]] | None = None,
) -> None:
    width = _GROUP / count
    places = [stage + (number - (count - 1) / 2) * width for stage in range(len(STAGE_NAMES))]
    colour, hatch = style
    panel.bar(
        places,
        values,
        0.92 * width,
        yerr=errors,
        label=name,
        color=colour,
        hatch=hatch,
        edgecolor="black",
        linewidth=0.6,
        alpha=0.8,
        error_kw={"linewidth": 1.2, "capsize": 2.5},
    )


def _dress(panel: Axes, title: str) -> None:
    panel.set_title(title, fontsize=9)
    panel.set_ylabel("top-1 (%)")
    panel.set_xticks(range(len(STAGE_NAMES)), STAGE_NAMES)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)
    panel.set_ylim(0, panel.get_ylim()[1] * 1.25)  # room for the legend
    panel.legend(fontsize=8, loc="upper left", ncols=2)
