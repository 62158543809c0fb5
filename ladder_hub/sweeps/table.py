"""A sweep's table: what its folder holds, mean and standard deviation over seeds, beside the paper's figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ladder_hub import paper
from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.sweeps.evaluations import read_figures
from ladder_hub.sweeps.grid import Cell, Sweep
from ladder_hub.sweeps.places import UNTRAINED, Place, last_words, places
from ladder_hub.table_file import OverSeeds


@dataclass(frozen=True)
class Column:
    """What was measured: figures of one column can be compared."""

    protocol: str
    stage: str
    metric: str
    data: str
    """The images' fingerprints, as JSON."""
    n: int
    """Validation images."""


@dataclass(frozen=True)
class Value(OverSeeds):
    """A figure over seeds, 0..1."""

    by_seed: dict[int, float]
    ci95: dict[int, tuple[float, float] | None]
    """By seed: the interval from the finite validation set; None where none was computed."""


@dataclass(frozen=True)
class Cost:
    """What a finished run took."""

    seed: int
    samples: int
    """Images seen, each in two views."""
    hours: float
    """Wall time of all its parts."""
    device: str
    processes: int
    kwh: float | None
    """Of the devices, by their own counters; None where they have none."""


@dataclass(frozen=True)
class Row:
    """A cell of the grid, or an untrained network."""

    name: str
    label: str
    epochs: int | None
    """Of its runs; None where none is finished."""
    method: str | None
    """What its runs' recipes call it; None where none is finished."""
    seeds: tuple[int, ...]
    """Of finished runs; of the floor: those that were measured."""
    values: dict[Column, Value]
    printed: paper.Row | None = None
    costs: tuple[Cost, ...] = ()
    """Of the finished runs."""


@dataclass(frozen=True)
class Table:
    """A sweep's table."""

    name: str
    title: str
    rows: tuple[Row, ...]
    """The untrained networks first."""
    columns: tuple[Column, ...]
    """In the order in which they were met."""
    unfinished: tuple[str, ...]
    """A line for each run or evaluation that was begun and has left nothing."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every figure of every seed."""
        return {
            "sweep": self.name,
            "title": self.title,
            "columns": [{**column.__dict__, "data": json.loads(column.data)} for column in self.columns],
            "rows": [self._row(row) for row in self.rows],
            "unfinished": list(self.unfinished),
            "paper": paper.SOURCE,
        }

    def _row(self, row: Row) -> dict[str, Any]:
        values = [row.values.get(column) for column in self.columns]
        found = [v and {"mean": v.mean, "std": v.std, "n": len(v.by_seed), **asdict(v)} for v in values]
        printed = row.printed and {"epochs": row.printed.epochs, "percent": row.printed.figures}
        facts: dict[str, Any] = {"name": row.name, "label": row.label, "epochs": row.epochs, "method": row.method}
        facts["seeds"] = list(row.seeds)
        return {**facts, "figures": found, "paper": printed, "runs": [asdict(cost) for cost in row.costs]}


def read_table(sweep: Sweep, out: Path) -> Table:
    """The table of what lies in a sweep's folder; nothing is run.

    Raises:
        UserError: a file there is damaged, or a cell holds runs of unlike recipes.
    """
    floors = [_floor(folder) for folder in sorted(out.glob(f"{UNTRAINED}-*"))]
    cells = [_cell(sweep, cell, places(out / cell.name)) for cell in sweep.cells]
    rows = (*floors, *cells)
    # Each row has its columns in order; those of a row that was measured less are among the others'.
    columns = tuple(dict.fromkeys(column for row in rows for column in row.values))
    lines = [line for row in rows for place in places(out / row.name) for line in _unfinished(place, row.name)]
    return Table(sweep.name, sweep.title, rows, columns, tuple(lines))


def _floor(folder: Path) -> Row:
    found = [place for place in places(folder) if place.figures()]
    label = folder.name.replace(f"{UNTRAINED}-", f"{UNTRAINED} ").replace("-", " ")
    return Row(folder.name, label, None, None, tuple(place.seed for place in found), _values(found))


def _cell(sweep: Sweep, cell: Cell, found: Sequence[Place]) -> Row:
    finished = [place for place in found if place.digest()]
    recipes = [load_recipe(str(place.run / "recipe.toml")).model_copy(update={"seed": 0}) for place in finished]
    if len({recipe.fingerprint() for recipe in recipes}) > 1:
        seeds = ", ".join(str(place.seed) for place in finished)
        raise UserError(
            f"{finished[0].cell}: the runs of seeds {seeds} are of unlike recipes; a mean would say nothing"
        )
    return Row(
        cell.name,
        cell.label,
        recipes[0].epochs if recipes else None,
        recipes[0].method if recipes else None,
        tuple(place.seed for place in finished),
        _values(finished),
        sweep.printed(cell),
        tuple(_cost(place) for place in finished),
    )


def _cost(place: Place) -> Cost:
    facts = place.provenance()
    hours = round(facts["wall_seconds"] / 3600, 3)
    joules = facts.get("joules")
    kwh = round(joules / 3.6e6, 6) if isinstance(joules, int | float) else None
    return Cost(place.seed, facts["samples_seen"], hours, facts["device"], facts["processes"], kwh)


def _values(found: Sequence[Place]) -> dict[Column, Value]:
    values: dict[Column, Value] = {}
    for place in found:
        for entry in _entries(place):
            value = values.setdefault(_column(entry), Value({}, {}))
            value.by_seed[place.seed] = float(entry["value"])
            value.ci95[place.seed] = tuple(entry["ci95"]) if entry.get("ci95") else None
    return values


def _entries(place: Place) -> Iterator[Mapping[str, Any]]:
    weights = place.digest() or UNTRAINED
    for path in place.figures():
        figures = read_figures(path)
        if figures.weights == weights:  # else of weights that were there before
            yield from figures.entries


def _column(entry: Mapping[str, Any]) -> Column:
    data = json.dumps(entry.get("data"), sort_keys=True)
    return Column(str(entry["protocol"]), str(entry["stage"]), str(entry["metric"]), data, int(entry["n"]))


def _unfinished(place: Place, row: str) -> Iterator[str]:
    """What has a log and no result."""
    if not row.startswith(UNTRAINED) and place.digest() is None:
        yield _line(f"{row} seed {place.seed}", place.log)
    for log in sorted(place.cell.glob(f"seed{place.seed}.*-????????.log")):
        if not log.with_suffix(".json").is_file():
            verb = log.name.split(".")[1].partition("-")[0]
            yield _line(f"{verb} of {row} seed {place.seed}", log)


def _line(what: str, log: Path) -> str:
    words = last_words(log)
    return f"{what} is not finished" + (f": {words}" if words else "")
