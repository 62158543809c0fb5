"""The picture of `analyse correlations`: a scatter plot a pair of tasks, every point with its method's name."""

import math
import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder_hub.analysis.correlations import CorrelationAnalysis, Pair
from ladder_hub.plotting import MODEL_COLOURS, new_figure

_COLUMNS, _PANELS = 3, 15


def draw_correlations(analysis: CorrelationAnalysis) -> Figure:
    """A panel a pair that has methods with both tasks; of very many pairs the fifteen with the most."""
    pairs = [pair for pair in analysis.pairs if pair.points]
    pairs = sorted(pairs, key=lambda pair: -pair.found.n)[:_PANELS]
    rows = max(1, math.ceil(len(pairs) / _COLUMNS))
    figure = new_figure(11.5, 3.3 * rows + 0.5)
    for place, pair in enumerate(pairs, start=1):
        _draw(figure.add_subplot(rows, _COLUMNS, place), pair, analysis.tasks)
    left_out = len(analysis.pairs) - len(pairs)
    shown = f"; {left_out} of {len(analysis.pairs)} pairs are not shown" if left_out else ""
    figure.suptitle(f"{analysis.source}: Pearson's r between tasks, a point a method{shown}", fontsize=10)
    return figure


def _draw(panel: Axes, pair: Pair, tasks: dict[str, str]) -> None:
    x, y = zip(*pair.points, strict=True)
    panel.scatter(x, y, s=22, color=MODEL_COLOURS[0], zorder=3)
    panel.margins(0.2, 0.22)
    middle = (min(x) + max(x)) / 2
    for method, at in zip(pair.methods, pair.points, strict=True):
        right = at[0] > middle
        panel.annotate(
            method,
            at,
            xytext=(-5 if right else 5, 4),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=7,
        )
    found = pair.found
    text = f"n = {found.n}: no r" if found.r is None else f"r = {found.r:.3f}, n = {found.n}"
    interval = "" if found.ci95 is None else " ({:.2f} to {:.2f})".format(*found.ci95)
    stated = "" if pair.stated is None else f"; stated: {pair.stated:.3f}"
    panel.set_title(text + interval + stated, fontsize=9)
    panel.set_xlabel("\n".join(textwrap.wrap(tasks[pair.tasks[0]], 44)), fontsize=8)
    panel.set_ylabel("\n".join(textwrap.wrap(tasks[pair.tasks[1]], 34)), fontsize=8)
    panel.tick_params(labelsize=7)
    panel.locator_params(nbins=5)
    panel.grid(alpha=0.3)
