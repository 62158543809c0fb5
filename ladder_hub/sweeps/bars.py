"""A sweep's table as bars: a panel a column, a bar a row."""

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from ladder_hub.plotting import MODEL_COLOURS, new_figure, save_figure
from ladder_hub.sweeps.table import Column, Row, Table, Value

_ACROSS = 4


def draw_table(table: Table, columns: Mapping[Column, str], path: Path) -> list[Path]:
    """Draw it and write it as PNG and SVG.

    Args:
        table: What was measured.
        columns: {column: heading}, at least one.
        path: Without a suffix.
    """
    rows = [row for row in table.rows if row.values]
    across = min(_ACROSS, len(columns))
    down = math.ceil(len(columns) / across)
    figure = new_figure(1.6 + 2.4 * across, 0.9 + down * (0.8 + 0.28 * len(rows)))
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    for panel, (column, heading) in zip(panels.flat, columns.items(), strict=False):
        _draw(panel, rows, column)
        panel.set_title(f"{heading}\n(n = {column.n:,} images)", fontsize=8)
    for panel in panels.flat[len(columns) :]:
        panel.set_visible(False)
    counts = sorted({len(value.by_seed) for row in rows for value in row.values.values()})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    what = f"{seeds} seeds: mean, ± standard deviation, dots: single seeds" if counts[-1] > 1 else "a single seed"
    figure.suptitle(f"{table.title}\n{what}", fontsize=9)
    return save_figure(figure, path)


def _draw(panel: Axes, rows: list[Row], column: Column) -> None:
    top = max(_end(row.values[column]) for row in rows if column in row.values)
    for place, row in enumerate(rows):
        value = row.values.get(column)
        if value is None:
            continue
        trained = row.epochs is not None
        colour = MODEL_COLOURS[place % len(MODEL_COLOURS)] if trained else "#cccccc"
        mean, spread = 100 * value.mean, None if value.std is None else 100 * value.std
        panel.barh(place, mean, xerr=spread, color=colour, alpha=0.75, height=0.7, capsize=2)
        if spread is not None:
            panel.plot([100 * v for v in value.by_seed.values()], [place] * len(value.by_seed), "k.", markersize=4)
        panel.text(_end(value) + 0.03 * top, place, f"{mean:.1f}", va="center", fontsize=7)
    panel.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlim(0, 1.3 * top or 1)
    panel.set_xlabel("%", fontsize=8)
    panel.tick_params(axis="x", labelsize=7)
    panel.grid(axis="x", alpha=0.3)


def _end(value: Value) -> float:
    """Where bar, whisker and dots end, in percent."""
    return 100 * max(value.mean + (value.std or 0.0), *value.by_seed.values())
