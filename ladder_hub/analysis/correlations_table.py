"""Methods and tasks: the paper's printed tables, the zoo's own figures, or a file."""

import csv
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ladder_hub import paper
from ladder_hub.artifact.reading import ArtifactError
from ladder_hub.card import data_name
from ladder_hub.documents import plain, read_text, shown
from ladder_hub.errors import UserError
from ladder_hub.metrics_file import read_metrics
from ladder_hub.registry import entries
from ladder_hub.settings import Section, validated

Figure = Annotated[float, Field(ge=-1e12, le=1e12)]


class TableError(UserError):
    """A file that is no table of methods and tasks."""


@dataclass(frozen=True)
class Table:
    """Figures of methods on tasks; not every method has every task."""

    source: str
    """Where the figures come from, for people."""
    rows: dict[str, dict[str, float]]
    """{method: {task: figure}}"""
    tasks: dict[str, str] = field(default_factory=dict)
    """{task: what is measured}, as far as known."""
    stated: dict[tuple[str, str], float] = field(default_factory=dict)
    """{(task, task): r that the source itself states}."""
    unit: str = ""
    """Of every figure, where they have one in common."""

    @property
    def columns(self) -> list[str]:
        """Every task that a method has a figure of, in the order of `tasks`, then of appearance."""
        seen = dict.fromkeys(task for figures in self.rows.values() for task in figures)
        return [task for task in self.tasks if task in seen] + [task for task in seen if task not in self.tasks]


class RowKeys(Section):
    """`[[rows]]` of a file."""

    method: str
    figures: dict[str, Figure]


class StatedKeys(Section):
    """`[[correlations]]`: an r that the source of the figures states, to be shown beside ours."""

    tasks: tuple[str, str]
    r: Annotated[float, Field(ge=-1, le=1)]


class TableKeys(Section):
    """A TOML file of figures, in the layout of `zoo/paper.toml`."""

    tasks: dict[str, str] = Field(default_factory=dict)
    rows: Annotated[tuple[RowKeys, ...], Field(min_length=1)]
    correlations: tuple[StatedKeys, ...] = ()


def paper_table(number: int) -> Table:
    """One of the paper's tables, as far as it is at hand.

    Raises:
        TableError: nothing of it is.
    """
    rows = paper.rows(number)
    if not rows:
        raise TableError(f"table={number}: nothing of the paper's Table {number} is at hand")
    names = [row.method if row.epochs is None else f"{row.method} {row.epochs}e" for row in rows]
    weights = ["" if row.weights is None else f" {'-'.join(f'{w:g}' for w in row.weights)}" for row in rows]
    # The length says something only where a method stands there with several.
    alone = [[row.method for row in rows].count(row.method) == 1 for row in rows]
    named = [row.method if one else name for row, name, one in zip(rows, names, alone, strict=True)]
    methods = [name + weight for name, weight in zip(named, weights, strict=True)]
    figures = dict(zip(methods, (row.figures for row in rows), strict=True))
    return Table(f"{paper.SOURCE}, Table {number}", figures, paper.tasks(), paper.correlations(number), "%")


def zoo_table() -> Table:
    """What `eval` has measured of the zoo's models, in percent; a task is protocol, stage, metric and validation data.

    Raises:
        TableError: no model of the zoo has figures.
        ArtifactError: a metrics.json is damaged.
    """
    rows = {name: _measured(entry.folder / "metrics.json") for name, entry in entries().items()}
    rows = {name: figures for name, figures in rows.items() if figures}
    if not rows:
        raise TableError("no model of the zoo has measured figures yet; give a FILE, or table=2 for the paper's")
    return Table("the zoo's metrics.json", rows, unit="%")


def file_table(path: Path) -> Table:
    """A `.csv` (first column: method; empty cells: no figure) or a `.toml` in the layout of `zoo/paper.toml`.

    Raises:
        TableError: it can't be read, or a cell is no number.
        SettingError: a key of the TOML is unknown or can't have its value.
    """
    text = read_text(path, TableError)
    if path.suffix.lower() == ".csv":
        return _of_csv(text, path)
    if path.suffix.lower() != ".toml":
        raise TableError(f"{path} is neither .csv nor .toml")
    try:
        keys = validated(TableKeys, tomllib.loads(text), where=str(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TableError(f"{path} is not TOML: {plain(str(error))}") from None
    rows = _unique([(row.method, dict(row.figures)) for row in keys.rows], path)
    stated = {stated.tasks: stated.r for stated in keys.correlations}
    return Table(path.name, rows, keys.tasks, stated)


def _of_csv(text: str, path: Path) -> Table:
    try:
        lines = [row for row in csv.reader(text.splitlines(), strict=True) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise TableError(f"{path} is not CSV: {error}") from None
    header = [cell.strip() for cell in lines[0]] if lines else []
    if len(header) < 3 or len(lines) < 2 or len(set(header)) < len(header):
        raise TableError(
            f"{path}: a header with the methods' column and two tasks, all different, then rows are needed"
        )
    rows = [(line[0].strip(), _figures(line, header, path)) for line in lines[1:]]
    return Table(path.name, _unique(rows, path))


def _figures(line: Sequence[str], header: Sequence[str], path: Path) -> dict[str, float]:
    if len(line) > len(header):
        raise TableError(f"{path}: the row of {shown(line[0])} has {len(line)} cells, the header {len(header)}")
    cells = {task: cell.strip() for task, cell in zip(header[1:], line[1:], strict=False)}
    return {task: _number(cell, f"{path}: {plain(line[0])}, {plain(task)}") for task, cell in cells.items() if cell}


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not abs(value) <= 1e12:
        raise TableError(f"{where}: {shown(cell)} is no number; leave the cell empty where there is none")
    return value


def _unique(rows: Sequence[tuple[str, dict[str, float]]], path: Path) -> dict[str, dict[str, float]]:
    names = [name for name, _ in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{path}: the method {shown(twice)} stands twice; give each row a name of its own")
    return dict(rows)


def _measured(path: Path) -> dict[str, float]:
    return {_task(entry): 100 * float(entry["value"]) for entry in read_metrics(path, ArtifactError)}


def _task(entry: Mapping[str, Any]) -> str:
    return f"{entry['protocol']} {entry['stage']} {entry['metric']} on {data_name(entry['data']['val'])}"
