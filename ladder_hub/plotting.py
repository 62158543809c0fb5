"""How every plot of ladder-hub looks: colours for colour-blind readers, markers for grey printers, PNG and SVG."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

# Okabe and Ito's palette, which most kinds of colour blindness tell apart.
STAGE_COLOURS = {"res2": "#56B4E9", "res3": "#009E73", "res4": "#E69F00", "res5": "#D55E00"}
"""One a stage, the same in every plot."""
STAGE_MARKERS = {"res2": "o", "res3": "s", "res4": "^", "res5": "D"}
"""Two of the colours are the same grey in print."""
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""One a model or run, in the order in which they were named; from the ninth on they repeat."""
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo", "+++", "---")


def area_style(number: int) -> tuple[str, str]:
    """Colour and hatch of an area of the model `number`, from 0; no two of the first 64 are the same.

    Among the first eight no hatch is: in print, and for who sees no colours, they still differ.
    """
    colours = len(MODEL_COLOURS)
    return MODEL_COLOURS[number % colours], _HATCHES[(number + number // colours) % len(_HATCHES)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; `subplots` lays it out."""
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure, with no date and no version inside: the same figure gives the same bytes.

    Args:
        figure: From `new_figure`.
        path: `.png` or `.svg`: that file alone; without a suffix: both, beside each other.

    Returns:
        What was written.
    """
    paths = [path] if path.suffix in (".png", ".svg") else [path.with_name(path.name + end) for end in (".png", ".svg")]
    for file in paths:
        nothing = {"Software": None} if file.suffix == ".png" else {"Date": None, "Creator": None}
        with matplotlib.rc_context({"svg.hashsalt": "ladder-hub", "svg.fonttype": "none"}):
            figure.savefig(file, metadata=nothing)
    return paths
