"""docs/evidence.md and recipes/README.md against what was measured: zoo/runs/ and benchmarks/results/evidence.json."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ladder_hub.analysis.claims import analyse_claims
from ladder_hub.ledger import read_ledger

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs" / "evidence.md").read_text(encoding="utf-8")
TABLE = json.loads((REPOSITORY / "zoo" / "runs" / "tin100_5e.json").read_text(encoding="utf-8"))
FACTS = json.loads((REPOSITORY / "benchmarks" / "results" / "evidence.json").read_text(encoding="utf-8"))
TUNED = (REPOSITORY / "recipes" / "README.md").read_text(encoding="utf-8")
SHOWN = {"kNN": ("knn", "top1"), "linear": ("linear", "top1"), "mIoU": ("seg", "miou")}
SHOWN |= {"box AP": ("det", "box_ap"), "mask AP": ("det", "mask_ap")}


def lines_of(page: str) -> list[list[list[str]]]:
    """Every table of a page: its lines, without the rule below the heading."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        lines = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()]
        found.append([lines[0], *lines[2:]])
    return found


def tables() -> list[list[dict[str, str]]]:
    """Every table of docs/evidence.md, a dict a row."""
    return [[dict(zip(head, line, strict=True)) for line in lines] for head, *lines in lines_of(PAGE)]


def column(heading: str) -> int | None:
    """Of the JSON, by a heading of the page: `linear res5`, `box AP`."""
    kind = next((kind for kind in SHOWN if heading == kind or heading.startswith(f"{kind} res")), None)
    if kind is None:
        return None
    protocol, metric = SHOWN[kind]
    stage = heading.removeprefix(kind).strip() or {"seg": "res5", "det": "pyramid"}[protocol]
    (place,) = (
        place
        for place, each in enumerate(TABLE["columns"])
        if (each["protocol"].partition(":")[0], each["stage"], each["metric"]) == (protocol, stage, metric)
    )
    return place


def test_every_figure_of_the_page_was_measured() -> None:
    figures = {row["label"]: row["figures"] for row in TABLE["rows"]}
    checked = 0
    for row in (row for table in tables() for row in table if "" in row):
        for heading, cell in row.items():
            place = column(heading)
            if place is not None:
                assert cell == shown(figures[row[""]][place]), (row[""], heading)
                checked += 1
    assert checked == 11 * len([row for row in TABLE["rows"] if any(row["figures"])])


def shown(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    return f"{100 * value['mean']:.1f}" + ("" if value["std"] is None else f" ± {100 * value['std']:.1f}")


def test_the_claims_are_those_that_the_command_prints() -> None:
    header, rows = analyse_claims().table()
    told = next(table for table in tables() if header[0] in table[0])
    assert [tuple(row.values()) for row in told] == rows
    assert len(rows) >= 10


@pytest.mark.parametrize("method", ["byol", "dense_byol", "ladder_byol", "ladder_dense"])
def test_a_published_models_figures_are_those_of_seed_0(method) -> None:
    published = json.loads((REPOSITORY / "zoo" / f"{method}_test_resnet.tin100_5e" / "metrics.json").read_text())
    (row,) = (row for row in TABLE["rows"] if row["method"] == method)
    told = {
        (column["protocol"], column["stage"], column["metric"]): (value["by_seed"]["0"], value["ci95"]["0"])
        for column, value in zip(TABLE["columns"], row["figures"], strict=True)
        if value
    }
    assert {(m["protocol"], m["stage"], m["metric"]): (m["value"], m["ci95"]) for m in published} == told


@pytest.mark.parametrize("row", [row for row in TABLE["rows"] if row["runs"]], ids=lambda row: row["name"])
def test_the_ledger_has_every_run(row) -> None:
    assert len(row["seeds"]) >= 1
    entries = [run for entry in read_ledger() for run in entry.runs if run.sweep == "tin100_5e.json"]
    assert row["name"] in {run.row for run in entries}


def percents(figures: dict[str, list[float]]) -> list[str]:
    """Of res2 to res5; empty where there is none."""
    return [f"{100 * figures[stage][0]:.1f}" if stage in figures else "" for stage in ("res2", "res3", "res4", "res5")]


def test_the_tuning_table_is_what_was_run() -> None:
    (table,) = lines_of(TUNED)
    runs = FACTS["tuning"]
    told = {}
    for name, _, *cells in table[1:]:
        for method, part in (("ladder_byol", cells[:4]), ("byol", cells[4:])):
            run = name if name == "untrained" else f"{method}-{name.strip('`')}"
            assert part == percents(runs.get(run, {})), run
            told[run] = part
    assert runs.keys() <= told.keys()
    assert len(runs) == 17


def test_what_is_told_beside_the_tables() -> None:
    ours = FACTS["tuning"]["byol-batch64"]
    told = f"lightly {' '.join(percents(FACTS['lightly']))}, ours {' '.join(percents(ours))}"
    assert told in PAGE
    for stage in ("res2", "res3", "res4"):
        byol, ladder = (" ".join(f"{views[stage][0]:.3f}" for views in views_of(cell)) for cell in ("byol/", "gggg/"))
        assert f"{stage} {byol} and {ladder}" in PAGE
    untrained = next(iter(views_of("random:")))
    assert f"untrained {', '.join(f'{untrained[stage][0]:.3f}' for stage in ('res2', 'res3', 'res4'))} |" in PAGE
    assert len(FACTS["collapse"]) == sum(len(row["runs"]) for row in TABLE["rows"])
    assert {run["stages"] for run in FACTS["collapse"].values()} == {"no stage has collapsed"}
    heads = [head for run in FACTS["collapse"].values() for head in run["heads"].values()]
    assert ({verdict for verdict, _ in heads}, len(heads)) == ({"none"}, 2 * (1 + 2 + 4 + 6 + 8))
    assert f"{len(heads)} heads never below {min(spread for _, spread in heads):.2f}" in PAGE


def views_of(start: str) -> list[dict[str, list[float]]]:
    """By seed."""
    return [figures for run, figures in FACTS["views"].items() if run.startswith(start)]


def test_the_speeds_are_those_of_plan_and_log() -> None:
    table = next(table for table in tables() if "plan" in table[0])
    rows = {row["label"]: row for row in TABLE["rows"]}
    for line in table:
        row = rows[line["method"]]
        speed = FACTS["speed"][row["name"]]
        runs = [f"{speed[f'seed{seed}']:.0f}" for seed in row["seeds"]]
        minutes = [f"{60 * run['hours']:.0f}" for run in row["runs"]]
        assert line["plan"] == f"{speed['plan']:.0f}"
        assert (line["run"], line["minutes"]) == (", ".join(runs), ", ".join(minutes))
    assert len(table) == len(FACTS["speed"]) == 5
