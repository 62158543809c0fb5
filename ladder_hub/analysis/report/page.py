"""The page: its sections in order, each there or saying in one line why it is not."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from rich.console import Console

from ladder_hub.analysis.pages.markup import note, section
from ladder_hub.analysis.pages.page import place_for_page, render, write_page
from ladder_hub.analysis.report.chosen import Chosen, choose
from ladder_hub.analysis.report.collapse import collapse
from ladder_hub.analysis.report.curves import curves
from ladder_hub.analysis.report.distances import distances
from ladder_hub.analysis.report.figures import figures
from ladder_hub.analysis.report.gradients import gradients
from ladder_hub.analysis.report.maps import maps
from ladder_hub.analysis.report.origin import origin
from ladder_hub.analysis.report.overview import overview
from ladder_hub.analysis.report.recipes import recipes
from ladder_hub.analysis.report.runs import ReportedRun, open_runs
from ladder_hub.analysis.report.settings import ReportSettings
from ladder_hub.analysis.report.stages import stage_readings
from ladder_hub.analysis.report.views import sheets
from ladder_hub.errors import RunError, UserError
from ladder_hub.progress import Display
from ladder_hub.settings import settings_from

MADE_BY = "ladder-hub report"


def report(folders: Sequence[str], overrides: Sequence[str] = (), *, console: Console | None = None) -> Path:
    """Write the report of some runs.

    Args:
        folders: Of runs, finished or not, or of artifacts of ours.
        overrides: `key=value` for the keys of `ReportSettings`: out, data.images, n, maps, seed, device.
        console: Where progress goes; None: standard error.

    Returns:
        The file that was written.

    Raises:
        UserError: a folder holds no run, the images asked for can't be opened, or `out` can't be written.
    """
    settings = settings_from(ReportSettings, overrides)
    out = place_for_page(settings.out, MADE_BY)
    runs = open_runs(folders)
    write_page(out, _page(runs, settings, console or Console(file=sys.stderr)))
    return out


def _page(runs: Sequence[ReportedRun], settings: ReportSettings, console: Console) -> str:
    chosen = choose(settings, runs)
    made: list[tuple[str, str, Callable[[], Element]]] = [
        ("overview", "Overview", lambda: overview(runs)),
        ("curves", "Curves", lambda: curves(runs)),
        ("collapse", "Collapse", lambda: collapse(runs, _stages(runs, chosen, settings))),
        ("metrics", "Metrics", lambda: figures(runs)),
        ("views", "Views", lambda: sheets(runs, _there(chosen))),
        ("maps", "Maps of the pyramid", lambda: maps(runs, _there(chosen), device=settings.device)),
        ("distances", "Distances of views", lambda: distances(runs, _there(chosen), settings)),
        ("gradients", "Gradients", lambda: gradients(runs, _there(chosen), settings)),
        ("recipes", "Recipes", lambda: recipes(runs)),
        ("provenance", "Provenance", lambda: origin(runs)),
    ]
    parts = []
    with Display(console) as display:
        task = display.task("report", len(made))
        for name, heading, make in made:
            parts.append(_section(name, heading, make))
            task.advance()
    title = f"{len(runs)} runs: {', '.join(run.name for run in runs)}" if len(runs) > 1 else f"The run {runs[0].name}"
    links = [(f"#{name}", heading) for name, heading, _ in made]
    return render(title, *parts, made_by=MADE_BY, contents=links)


def _section(name: str, heading: str, make: Callable[[], Element]) -> Element:
    """One section that fails leaves the others: what is wrong with it stands in its place."""
    try:
        return make()
    except (UserError, RunError) as error:
        return section(name, heading, note(f"Not here: {error}"))


def _stages(runs: Sequence[ReportedRun], chosen: Chosen | str, settings: ReportSettings) -> list[Element]:
    try:
        return stage_readings(runs, _there(chosen), settings)
    except (UserError, RunError) as error:
        return [note(f"The stages themselves are not here: {error}")]


def _there(chosen: Chosen | str) -> Chosen:
    if isinstance(chosen, str):
        raise UserError(chosen)
    return chosen
