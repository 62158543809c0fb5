"""Where in an image each level's loss changes res2, of every run that has its heads (the paper's Fig. 4)."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import matplotlib
import numpy as np
from rich.console import Console

from ladder_hub.analysis.gradients import analyse_gradients
from ladder_hub.analysis.gradients_result import GradientsAnalysis, ImageGradients, spread
from ladder_hub.analysis.pages.markup import Part, note, section, table, tag
from ladder_hub.analysis.pages.pictures import cells, photograph
from ladder_hub.analysis.report.chosen import Chosen, short_key
from ladder_hub.analysis.report.overview import named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.analysis.report.settings import ReportSettings
from ladder_hub.errors import RunError, UserError


def gradients(runs: Sequence[ReportedRun], chosen: Chosen, settings: ReportSettings) -> Element:
    """The section: a table a run, one row an image, one column a level; a run without heads says so in one line."""
    keys = [f"data.images={chosen.source.spec}", f"images={chosen.indices.tolist()}"]
    keys += [f"seed={settings.seed}", f"device={settings.device}"]
    parts = [tag("div", tag("h3", named(run)), _of(run, keys)) for run in runs]
    return section("gradients", "Gradients", tag("p", _EXPLAINED), tag("div", *parts, class_="beside"))


_EXPLAINED = (
    "How strongly each level above pulls on every cell of res2: absolute gradients of one image's loss, summed over "
    "channels, from 0 (dark) to the map's own maximum (light). A pixel is a cell."
)


def _of(run: ReportedRun, keys: Sequence[str]) -> Element:
    try:
        found = analyse_gradients(str(run.folder), keys, console=Console(quiet=True))
    except (UserError, RunError) as error:
        return note(f"Not here: {error}")
    medians = "; ".join(f"{row[0]}: {row[3] or 'none'}" for row in found.table()[1])
    at = "" if found.step is None else f" at step {found.step:,}"
    caption = f"{run.name}{at}: share of the cells that a gradient is spread over, medians: {medians} (n = "
    head: list[Part] = ["image", "input", "view 1", *(_heading(name, found.lower) for name in found.levels)]
    rows = [_row(one, found) for one in found.images]
    return table(f"{caption}{len(found.images)} images)", head, rows, class_="maps")


def _heading(level: str, lower: str) -> Element:
    return tag("span", level, tag("br"), tag("small", f"on {lower}"))


def _row(one: ImageGradients, found: GradientsAnalysis) -> list[Part]:
    pictures = (photograph(one.original, f"The image {one.key}"), photograph(one.view, f"View 1 of {one.key}"))
    return [short_key(one.key), *(tag("td", each) for each in pictures), *(_heat(one, name) for name in found.levels)]


def _heat(one: ImageGradients, level: str) -> Element:
    gradient = one.maps[level]
    largest, share = float(gradient.max()), spread(gradient)
    colours = matplotlib.colormaps["magma"](gradient / (largest or 1.0), bytes=True)[..., :3]
    told = f"Gradient of {level}: at most {largest:.2g}, " + ("zero" if share is None else f"spread over {share:.0%}")
    return tag("td", cells(np.ascontiguousarray(colours), f"{told}, {one.key}"), tag("small", f"max {largest:.2g}"))
