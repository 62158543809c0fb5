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
from ladder_hub.plotting import new_figure

Entry = Mapping[str, Any]
Measured = dict[str, dict[int, Entry]]
"""{what was measured: {number of the run: its entry}}."""
_MARKERS = "osD^vP*X"
_MOST_DRAWN = 16


def figures(runs: Sequence[ReportedRun]) -> Element:
    """The section."""
    measured = _measured(runs)
    if not measured:
        return section("metrics", "Metrics", note("No run has measured figures: `ladder-hub eval knn RUN` makes some."))
    rows = [_row(entries, runs) for entries in measured.values()]
    caption = "Percent; 95 % interval of the validation set, not of other seeds; n validation images"
    columns: list[Part] = ["protocol", "stage", "metric", "validation images", *map(named, runs)]
    return section(
        "metrics",
        "Metrics",
        tag("p", "“Before” is the same network before its training, where the run has measured that."),
        table(caption, columns, rows),
        key([run for run in runs if run.artifact]),
        _chart(measured, runs),
        *([note(f"The chart has the first {_MOST_DRAWN} rows of the table.")] if len(measured) > _MOST_DRAWN else []),
    )


def _measured(runs: Sequence[ReportedRun]) -> Measured:
    """Figures are the same thing where protocol, stage, metric and images are."""
    found: Measured = {}
    for run in runs:
        for entry in run.artifact.metrics if run.artifact else ():
            same = json.dumps([entry[name] for name in ("protocol", "stage", "metric", "data")], sort_keys=True)
            found.setdefault(same, {})[run.number] = entry
    return dict(sorted(found.items(), key=lambda item: _order(next(iter(item[1].values())))))


def _order(entry: Entry) -> tuple[str, ...]:
    """What is looked at together lies together: the stages under one protocol, metric and set of images."""
    return entry["protocol"], data_name(entry["data"]["val"]), entry["metric"], entry["stage"]


def _row(entries: Mapping[int, Entry], runs: Sequence[ReportedRun]) -> list[Part]:
    one = next(iter(entries.values()))
    head = [one["protocol"], one["stage"], one["metric"], data_name(one["data"]["val"])]
    return [*head, *(_cell(entries.get(run.number)) for run in runs)]


def _cell(entry: Entry | None) -> Part:
    if entry is None:
        return "not measured"
    interval, before = entry.get("ci95"), entry.get("baseline")
    interval_told = f" ({percent(interval[0])} to {percent(interval[1])})" if interval else " (no interval)"
    told = f"n = {entry['n']:,}" + ("" if before is None else f", before {percent(before)}")
    value = tag("span", tag("strong", percent(entry["value"])), interval_told, class_="whole")
    return tag("td", value, tag("br"), tag("small", told))


def _chart(measured: Measured, runs: Sequence[ReportedRun]) -> Element:
    drawn, by_number = list(measured.values())[:_MOST_DRAWN], {run.number: run for run in runs}
    there = sorted({number for entries in drawn for number in entries})
    figure = new_figure(8.2, 0.8 + 0.12 * len(drawn) * (2 + len(there)))
    axes: Axes = figure.subplots()
    for line, entries in enumerate(drawn):
        for number, entry in entries.items():
            _mark(axes, line + 0.7 * ((there.index(number) + 0.5) / len(there) - 0.5), entry, by_number[number])
    axes.set_yticks(range(len(drawn)), [_name(entries) for entries in drawn], fontsize=8)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlabel("%, filled: after training with 95 % interval; hollow: before", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    told = " ".join(_told(entries, by_number) for entries in drawn)
    return frame("Chart of the metrics", chart(figure, f"Metrics in percent. {told}", least=640))


def _mark(axes: Axes, height: float, entry: Entry, run: ReportedRun) -> None:
    interval, before = entry.get("ci95"), entry.get("baseline")
    marker = _MARKERS[run.number % len(_MARKERS)]
    if interval:
        axes.plot([100 * end for end in interval], [height, height], color=run.colour, linewidth=1.6)
    axes.plot(100 * entry["value"], height, marker, color=run.colour, markersize=5)
    if before is not None:
        axes.plot(100 * before, height, marker, color=run.colour, markersize=5, fillstyle="none")


def _name(entries: Mapping[int, Entry]) -> str:
    one = next(iter(entries.values()))
    counts = sorted({entry["n"] for entry in entries.values()})
    return f"{one['protocol']}\n{one['stage']} {one['metric']}, n = {', '.join(map(str, counts))}"


def _told(entries: Mapping[int, Entry], runs: Mapping[int, ReportedRun]) -> str:
    one = next(iter(entries.values()))
    values = ", ".join(f"{runs[number].name} {percent(entry['value'])}" for number, entry in entries.items())
    return f"{one['protocol']} {one['stage']} {one['metric']}: {values}."
