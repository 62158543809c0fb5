"""The picture of `analyse gradients`: heat maps beside the images (the paper's Fig. 4)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladder_hub.analysis.gradients_result import GradientsAnalysis, spread
from ladder_hub.plotting import new_figure

_TILE = 1.35  # inches


def draw_gradients(result: GradientsAnalysis) -> Figure:
    """A row an image: whole, view 1, then a heat map a level, upsampled, from dark (0) to light (its maximum)."""
    columns, rows = 2 + len(result.levels), len(result.images)
    figure = new_figure(max(5.4, _TILE * columns + 0.4), _TILE * 1.12 * rows + 0.9)
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, one in zip(panels, result.images, strict=True):
        _picture(row[0], one.original)
        row[0].set_ylabel(f"image {one.index}", fontsize=8)
        _picture(row[1], one.view)
        for panel, name in zip(row[2:], result.levels, strict=True):
            _heat(panel, one.maps[name], one.view.shape[0])
    titles = ["image", "view 1", *(f"∂ {name} / ∂ {result.lower}" for name in result.levels)]
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, fontsize=8)
    at = "" if result.step is None else f" at step {result.step:,}"
    side = result.images[0].maps[result.levels[0]].shape
    figure.suptitle(
        f"Σ over channels of |∂L/∂z|, {side[0]}x{side[1]} cells, n = {rows}{at}\n"
        "each map from 0 (dark) to its own maximum (light), written below it",
        fontsize=8,
    )
    return figure


def _picture(panel: Axes, pixels: np.ndarray) -> None:
    panel.imshow(pixels, interpolation="nearest")
    _bare(panel)


def _heat(panel: Axes, gradient: np.ndarray, size: int) -> None:
    # In pixels of the view, so that places can be compared by eye.
    panel.imshow(gradient, cmap="magma", vmin=0.0, interpolation="bilinear", extent=(0, size, size, 0))
    share = spread(gradient)
    shown = "" if share is None else f", spread {share:.0%}"
    panel.set_xlabel(f"max {gradient.max():.2g}{shown}", fontsize=6.5, labelpad=2)
    _bare(panel)


def _bare(panel: Axes) -> None:
    panel.set_xticks([])
    panel.set_yticks([])
