"""What verbs print: tables aligned, or JSON."""

import json
from collections.abc import Sequence
from typing import Any

import typer


def show(header: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool = False) -> None:
    """Rows under a header, columns aligned; or a list of JSON objects."""
    if as_json:
        typer.echo(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
        return
    table = [list(header), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_facts(facts: dict[str, Any]) -> None:
    """Names and values, a line each."""
    width = max(len(key) for key in facts) + 2
    for key, value in facts.items():
        typer.echo(f"{key:<{width}}{value}")


def print_metrics(metrics: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Entries of metrics.json, as they are or as a table."""
    if as_json:
        typer.echo(json.dumps(metrics, indent=2))
    else:
        show_metrics(metrics)


def show_metrics(metrics: Sequence[dict[str, Any]]) -> None:
    """Entries of metrics.json as a table."""
    rows = []
    for entry in metrics:
        before = "" if entry.get("baseline") is None else f"{entry['baseline']:.1%}"
        interval = "{:.1%} to {:.1%}".format(*entry["ci95"]) if entry.get("ci95") else ""
        asked = f"{entry['n']} ({entry['overlap']} in train)" if entry.get("overlap") else entry["n"]
        rows.append(
            (entry["protocol"], entry["stage"], entry["metric"], f"{entry['value']:.1%}", interval, asked, before)
        )
    if rows:
        show(["protocol", "stage", "metric", "value", "95 % interval", "n", "before training"], rows)
