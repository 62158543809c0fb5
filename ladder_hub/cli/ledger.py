"""`ledger`: the paper's figures, others' and ours, recipe by recipe."""

import json
from itertools import zip_longest

import typer

from ladder_hub.cli.tables import show
from ladder_hub.cli.words import AsJson


def ledger(as_json: AsJson = False) -> None:
    """What each recipe should reach (the paper), what others have reached, what our own runs did; in percent."""
    from ladder_hub.ledger import ledger_dict, measured, read_ledger

    entries = read_ledger()
    if as_json:
        typer.echo(json.dumps(ledger_dict(entries), indent=2))
        return
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        others = [f"{_figures(other.figures)} ({other.setting})" for other in entry.others]
        ours: list[str] = [entry.status]
        for run in entry.runs:
            ours += [f"{run.setting}:", *(f"  {figure}" for figure in measured(run).figures if figure.is_main)]
        rows += zip_longest([entry.recipe], ours, [_figures(entry.paper)], others, fillvalue="")
    show(["recipe", "ours", "the paper's", "others'"], rows)


def _figures(figures: dict[str, float]) -> str:
    return ", ".join(f"{task} {value:g}" for task, value in figures.items())
