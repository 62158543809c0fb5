"""What was measured: a table and a chart, each figure beside its baseline and with its interval."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from matplotlib.axes import Axes

from ladder_hub.analysis.pages.charts import chart
from ladder_hub.analysis.pages.markup import Part, frame, note, section, table, tag
from ladder_hub.analysis.report.overview import key, named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.card import data_name, percent
from ladder_hub.downstream.metrics import MAIN
from ladder_hub.plotting import new_figure

Entry = Mapping[str, Any]
Measured = dict[str, dict[int, Entry]]
"""{stage and metric: {number of the run: its entry}}."""
_MARKERS = "osD^vP*X"


def figures(runs: Sequence[ReportedRun]) -> Element:
    """The section: for each protocol and set of images a table of all figures and a chart of the main ones."""
    groups = _grouped(runs)
    if not groups:
        return section("metrics", "Metrics", note("No run has measured figures: `ladder-hub eval knn RUN` makes some."))
    there = [run for run in runs if run.artifact]
    parts: list[Part] = [
        tag("p", "“Before” is the same network before its training, where the run has measured that."),
        key(there),
    ]
    for (protocol, images), measured in groups.items():
        caption = (
            f"{protocol}, validation images {images}: percent and 95 % interval, which says nothing of other seeds"
        )
        columns: list[Part] = ["figure", *map(named, there)]
        rows = [[name, *(_cell(entries.get(run.number)) for run in there)] for name, entries in measured.items()]
        parts += [tag("h3", protocol), table(caption, columns, rows), _chart(protocol, measured, there)]
    return section("metrics", "Metrics", *parts)


def _grouped(runs: Sequence[ReportedRun]) -> dict[tuple[str, str], Measured]:
    """{(protocol, validation images): what was measured}: figures of one group may be compared."""
    found: dict[tuple[str, str], dict[str, Measured]] = {}
    for run in runs:
        for entry in run.artifact.metrics if run.artifact else ():
            group = found.setdefault((entry["protocol"], data_name(entry["data"]["val"])), {})
            data = json.dumps(entry["data"], sort_keys=True)  # the images that taught count too
            name = f"{entry['stage']} {entry['metric']}"
            group.setdefault(data, {}).setdefault(name, {})[run.number] = entry
    return {
        (protocol, images if len(sets) == 1 else f"{images} (training images: set {number} of {len(sets)})"): dict(
            sorted(measured.items(), key=lambda item: item[0].split(" ")[::-1])  # the stages of a metric together
        )
        for (protocol, images), sets in sorted(found.items())
        for number, measured in enumerate(sets.values(), start=1)
    }


def _cell(entry: Entry | None) -> Part:
    if entry is None:
        return "not measured"
    interval, before = entry.get("ci95"), entry.get("baseline")
    interval_told = f" ({percent(interval[0])} to {percent(interval[1])})" if interval else " (no interval)"
    told = f"n = {entry['n']:,}" + ("" if before is None else f", before {percent(before)}")
    value = tag("span", tag("strong", percent(entry["value"])), interval_told, class_="whole")
    return tag("td", value, tag("br"), tag("small", told))


def _chart(protocol: str, measured: Measured, runs: Sequence[ReportedRun]) -> Element:
    """The main figures; all, where there is none of those."""
    drawn = {name: of for name, of in measured.items() if name.split(" ")[1] in MAIN} or measured
    by_number = {run.number: run for run in runs}
    there = sorted({number for entries in drawn.values() for number in entries})
    figure = new_figure(8.2, 0.8 + 0.12 * len(drawn) * (2 + len(there)))
    axes: Axes = figure.subplots()
    for line, entries in enumerate(drawn.values()):
        for number, entry in entries.items():
            _mark(axes, line + 0.7 * ((there.index(number) + 0.5) / len(there) - 0.5), entry, by_number[number])
    axes.set_yticks(range(len(drawn)), [_name(name, entries) for name, entries in drawn.items()], fontsize=8)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlabel("%, filled: after training with 95 % interval; hollow: before", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    told = " ".join(_told(name, entries, by_number) for name, entries in drawn.items())
    return frame(f"Chart of {protocol}", chart(figure, f"{protocol} in percent. {told}", least=640))


def _mark(axes: Axes, height: float, entry: Entry, run: ReportedRun) -> None:
    interval, before = entry.get("ci95"), entry.get("baseline")
    marker = _MARKERS[run.number % len(_MARKERS)]
    if interval:
        axes.plot([100 * end for end in interval], [height, height], color=run.colour, linewidth=1.6)
    axes.plot(100 * entry["value"], height, marker, color=run.colour, markersize=5)
    if before is not None:
        axes.plot(100 * before, height, marker, color=run.colour, markersize=5, fillstyle="none")


def _name(name: str, entries: Mapping[int, Entry]) -> str:
    counts = sorted({entry["n"] for entry in entries.values()})
    return f"{name}, n = {', '.join(f'{count:,}' for count in counts)}"


def _told(name: str, entries: Mapping[int, Entry], runs: Mapping[int, ReportedRun]) -> str:
    values = ", ".join(f"{runs[number].name} {percent(entry['value'])}" for number, entry in entries.items())
    return f"{name}: {values}."
