"""docs/evidence.md against the runs that it tells of: every figure of its tables is one of zoo/runs/."""

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
SHOWN = {"kNN": ("knn", "top1"), "linear": ("linear", "top1"), "mIoU": ("seg", "miou")}
SHOWN |= {"box AP": ("det", "box_ap"), "mask AP": ("det", "mask_ap")}


def tables() -> list[list[dict[str, str]]]:
    """Every table of the page, a dict a row."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.M):
        lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
    return found


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
