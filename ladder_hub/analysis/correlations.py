"""`analyse correlations`: how far tasks rank methods alike (the paper's Fig. 5), with what its figures lack beside r.

Pearson's r over the methods that have both tasks (pairwise complete cases); n; a two-sided p by Student's t, and the
same times the number of pairs that were tested (Bonferroni); a 95 % interval by Fisher's z. With the few methods that a
table has, r is uncertain: at n = 4 an r of 0.9 has an interval from -0.45 to 1.00.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ladder_hub.analysis.correlations_table import Table, file_table, paper_table, zoo_table
from ladder_hub.analysis.pearson import Correlation, pearson
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, settings_from


class CorrelationSettings(Section):
    """What `analyse correlations` takes."""

    table: Annotated[int, Field(ge=1)] | None = None
    """Of the paper; 2 where nothing else is asked for."""
    zoo: bool = False
    """The figures that were measured of the zoo's models."""


@dataclass(frozen=True)
class Pair:
    """Two tasks."""

    tasks: tuple[str, str]
    methods: tuple[str, ...]
    """Those that have both, in the table's order."""
    points: tuple[tuple[float, float], ...]
    found: Correlation
    p_bonferroni: float | None
    """p times the number of pairs that have one, at most 1."""
    stated: float | None
    """The r that the source itself states, where it is at hand."""


@dataclass(frozen=True)
class CorrelationAnalysis:
    """Every pair of tasks of a table."""

    source: str
    tasks: dict[str, str]
    """{task: what is measured}, with its unit where it has one."""
    pairs: tuple[Pair, ...]

    @property
    def tested(self) -> int:
        """Pairs that have a p."""
        return sum(pair.found.p is not None for pair in self.pairs)

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows for a terminal."""
        stated = any(pair.stated is not None for pair in self.pairs)
        header = ["task", "task", "n", "r", "95 % interval", "p", f"p x {self.tested}"]
        return header + ["r as stated"] * stated, [_row(pair, stated=stated) for pair in self.pairs]

    def notes(self) -> list[str]:
        """What must be known beside the numbers, a line each."""
        few = sum(pair.found.n < 3 for pair in self.pairs)
        lines = [f"{self.source}; pairwise complete cases; p two-sided, then by Bonferroni for {self.tested} pairs"]
        if few:
            lines.append(f"{few} of {len(self.pairs)} pairs have fewer than 3 methods with both tasks: no r")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        pairs = [_pair(pair) for pair in self.pairs]
        return {"analysis": "correlations", "source": self.source, "tested": self.tested, "pairs": pairs}


def analyse_correlations(files: Sequence[str] = (), overrides: Sequence[str] = ()) -> CorrelationAnalysis:
    """Correlate every pair of tasks.

    Args:
        files: At most one `.csv` or `.toml` (see `correlations_table.file_table`); none: the paper's or the zoo's.
        overrides: `key=value` for the keys of `CorrelationSettings`: table, zoo.

    Raises:
        UserError: several sources are asked for, the table isn't there or isn't one, or it has one task.
    """
    settings = settings_from(CorrelationSettings, overrides)
    if len(files) + settings.zoo + (settings.table is not None) > 1:
        raise UserError("analyse correlations takes one of FILE, table=N and zoo=true")
    if files:
        table = file_table(Path(files[0]).expanduser())
    else:
        table = zoo_table() if settings.zoo else paper_table(settings.table or 2)
    return correlate(table)


def correlate(table: Table) -> CorrelationAnalysis:
    """Every pair of tasks of a table.

    Raises:
        UserError: it has fewer than two tasks.
    """
    if len(table.columns) < 2:
        raise UserError(f"{table.source} has figures of {len(table.columns)} task; two are needed to correlate")
    stated = table.stated | {(b, a): r for (a, b), r in table.stated.items()}
    cases = [_cases(table, a, b) for a, b in itertools.combinations(table.columns, 2)]
    tested = sum(found.p is not None for *_, found in cases)
    pairs = tuple(
        Pair(
            tasks,
            methods,
            points,
            found,
            None if found.p is None else min(1.0, found.p * tested),
            stated.get(tasks),
        )
        for tasks, methods, points, found in cases
    )
    unit = f" ({table.unit})" if table.unit else ""
    labels = {task: table.tasks.get(task, task) + unit for task in table.columns}
    return CorrelationAnalysis(table.source, labels, pairs)


_Cases = tuple[tuple[str, str], tuple[str, ...], tuple[tuple[float, float], ...], Correlation]


def _cases(table: Table, a: str, b: str) -> _Cases:
    both = {name: figures for name, figures in table.rows.items() if a in figures and b in figures}
    points = tuple((figures[a], figures[b]) for figures in both.values())
    return (a, b), tuple(both), points, pearson([x for x, _ in points], [y for _, y in points])


def _row(pair: Pair, *, stated: bool) -> tuple[str, ...]:
    found = pair.found
    interval = "{:.3f} to {:.3f}".format(*found.ci95) if found.ci95 else ""
    row = (*pair.tasks, str(found.n), _three(found.r), interval, _probability(found.p), _probability(pair.p_bonferroni))
    return (*row, _three(pair.stated)) if stated else row


def _three(r: float | None) -> str:
    return "" if r is None else f"{r:.3f}"


def _probability(p: float | None) -> str:
    """Three digits; below 1e-12 rounding leaves none."""
    return "" if p is None else "<1e-12" if p < 1e-12 else f"{p:.3g}"


def _pair(pair: Pair) -> dict[str, Any]:
    found = pair.found
    return {
        "tasks": list(pair.tasks),
        "n": found.n,
        "r": found.r,
        "ci95": None if found.ci95 is None else list(found.ci95),
        "p": found.p,
        "p_bonferroni": pair.p_bonferroni,
        "r_stated": pair.stated,
        "points": {method: list(point) for method, point in zip(pair.methods, pair.points, strict=True)},
    }
