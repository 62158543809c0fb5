"""The figures that the paper prints (arXiv 2211.13844), as far as `zoo/paper.toml` has them; none was measured here."""

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from ladder_hub._shipped import shipped

SOURCE = "arXiv 2211.13844"
_BY_LENGTH = (1, 2, 4)  # tables of methods by length; 5 and 6 are of other ladders, and 7 says no length


@dataclass(frozen=True)
class Row:
    """A row of one of the paper's tables."""

    table: int
    method: str
    """One of ours (`ladder_byol`) or the name of another's (`LEWEL`)."""
    epochs: int | None
    """None where the paper does not say."""
    weights: tuple[float, ...] | None
    """Of the levels below res5, lowest first; None: the method's own."""
    figures: dict[str, float]
    """{task: percent}."""


def rows(table: int) -> list[Row]:
    """The rows of a table, in its order; none where nothing of it is at hand."""
    return [_row(keys) for keys in _file()["rows"] if keys["table"] == table]


def printed(method: str, epochs: int) -> dict[str, dict[float, list[int]]]:
    """What the paper prints for a method at a length: {task: {percent: tables}}, Table 1's first.

    Where two tables of it have different figures for one setting, both are there.
    """
    found: dict[str, dict[float, list[int]]] = {}
    for table in _BY_LENGTH:
        for row in rows(table):
            if (row.method, row.epochs, row.weights) == (method, epochs, None):
                for task, figure in row.figures.items():
                    found.setdefault(task, {}).setdefault(figure, []).append(table)
    return {task: found[task] for task in tasks() if task in found}


def tasks() -> dict[str, str]:
    """{task: what is measured, on what}, for headings."""
    return dict(_file()["tasks"])


def correlations(table: int) -> dict[tuple[str, str], float]:
    """{(task, task): Pearson's r that the paper states over a table}; none where its text was not at hand.

    A line of the file: `[[correlations]]` with `table = 2`, `tasks = ["imagenet", "voc"]`, `r`.
    """
    stated = [keys for keys in _file().get("correlations", []) if keys["table"] == table]
    return {(keys["tasks"][0], keys["tasks"][1]): keys["r"] for keys in stated}


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((shipped("zoo") / "paper.toml").read_text(encoding="utf-8"))


def _row(keys: dict[str, Any]) -> Row:
    weights = keys.get("weights")
    return Row(
        keys["table"], keys["method"], keys.get("epochs"), None if weights is None else tuple(weights), keys["figures"]
    )
