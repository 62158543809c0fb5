"""The runs side by side: what they are, how far they came, what they reached."""

from collections.abc import Callable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ladder_hub.analysis.pages.markup import Part, section, table, tag
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.card import data_name, percent
from ladder_hub.progress import clock


def overview(runs: Sequence[ReportedRun]) -> Element:
    """The section."""
    rows: list[list[Part]] = [[name, *(told(run) for run in runs)] for name, told in _FACTS.items()]
    columns: list[Part] = ["", *(named(run) for run in runs)]
    caption = "What each run is and how far it came. Each keeps its colour and its line on the whole page."
    return section("overview", "Overview", table(caption, columns, rows))


def named(run: ReportedRun) -> Element:
    """The run's name with its line, as the charts draw it."""
    return tag("span", swatch(run), " ", run.name)


def key(runs: Sequence[ReportedRun]) -> Element:
    """Which line is whose."""
    return tag("ul", *(tag("li", named(run)) for run in runs), class_="key", aria_label="Lines of the charts")


def swatch(run: ReportedRun) -> Element:
    """A piece of the run's line."""
    gaps = {"-": "", "--": "10 4", "-.": "10 3 3 3", ":": "3 3"}[run.dashes]
    colour = "currentColor" if run.colour == "#000000" else run.colour
    line = tag("line", x1="0", x2="40", y1="6", y2="6", stroke=colour, stroke_width="4", stroke_dasharray=gaps)
    return tag("svg", line, viewBox="0 0 40 12", width="40", height="12", aria_hidden="true")


def _state(run: ReportedRun) -> str:
    if run.artifact:
        return "finished"
    last = max((record.get("epoch", 0) for record in run.log), default=None)
    at = "nothing logged yet" if last is None else f"in epoch {int(last) + 1:,} of {run.recipe.epochs:,}"
    return f"unfinished: {at}"


def _ladder(run: ReportedRun) -> str:
    return ", ".join(f"{level.stage} {level.loss} x {level.weight:g}" for level in run.recipe.ladder)


def _loss(run: ReportedRun) -> str:
    points = run.points("loss")
    if not points:
        return "none logged"
    return f"{points[-1][1]:.3f}{'' if run.artifact else ' so far'} (first logged {points[0][1]:.3f})"


def _data(run: ReportedRun) -> str:
    facts: Any = run.artifact and run.artifact.provenance.get("data")
    return data_name(facts) if facts else run.recipe.published().data.train


def _time(run: ReportedRun) -> str:
    return f"{'' if run.artifact else 'about '}{clock(run.seconds)}" if run.seconds else "not recorded"


def _best(run: ReportedRun) -> str:
    found = [entry for entry in run.artifact.metrics if entry["stage"] == "res5"] if run.artifact else []
    if not found:
        return "none measured"
    entry = found[0]
    before = entry.get("baseline")
    told = f"{entry['protocol']} {entry['metric']} {percent(entry['value'])} %"
    return told + (f" ({percent(before)} % before training)" if before is not None else "")


_FACTS: dict[str, Callable[[ReportedRun], str]] = {
    "state": _state,
    "method": lambda run: run.recipe.method,
    "ladder": _ladder,
    "backbone": lambda run: run.recipe.model.backbone,
    "training images": _data,
    "epochs": lambda run: f"{run.recipe.epochs:,}",
    "batch size": lambda run: f"{run.recipe.batch_size:,}",
    "learning rate": lambda run: f"{run.recipe.learning_rate:g}",
    "seed": lambda run: str(run.recipe.seed),
    "samples seen": lambda run: f"{run.samples:,}",
    "wall time": _time,
    "final loss": _loss,
    "on res5": _best,
}
