"""`analyse claims`: which of the paper's claims hold in a table that `ladder-hub sweep` wrote.

A claim is a contrast: methods with factors c whose weighted sum of figures lies above zero. Its 95 % interval has two
parts, added as squares: seeds, and the finite validation set. The first is Student's t times s sqrt(sum c^2 / n), with
s pooled over all methods of the same length (one with two seeds has hardly a variance of its own). Both take methods as
independent; all meet the same images, and under one seed the same order and views, so the interval is too wide
rather than too narrow.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ladder_hub import paper
from ladder_hub._shipped import shipped
from ladder_hub.analysis.claims_result import ClaimsAnalysis, Finding
from ladder_hub.analysis.pearson import student_quantile
from ladder_hub.documents import plain, read_text
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, settings_from, validated
from ladder_hub.table_file import Column, Row, TableFile, Value, read_table_file

_OURS = "tin100_5e.json"  # under zoo/runs/
_NORMAL_975 = 1.959964


class Measure(Section):
    """What a claim is measured by."""

    protocol: str
    """Up to its colon: `linear`."""
    stage: str
    metric: str
    task: str = ""
    """The paper's, where it has the same difference."""


class Claim(Section):
    """An entry of `zoo/claims.toml`."""

    says: str
    table: int
    """Of the paper."""
    contrast: Annotated[dict[str, float], Field(min_length=2)]
    figures: Annotated[tuple[Measure, ...], Field(min_length=1)]
    epochs: int | None = None
    """Of the paper's rows."""


class Claims(Section):
    """The file."""

    claims: tuple[Claim, ...]


def analyse_claims(files: Sequence[str] = (), overrides: Sequence[str] = ()) -> ClaimsAnalysis:
    """Hold the paper's claims against a sweep's table.

    Args:
        files: At most one `table.json` of `ladder-hub sweep`; none: the runs of this project, `zoo/runs/`.
        overrides: `key=value`; there are no keys.

    Raises:
        UserError: there is no such table, or it is none; or a key was given.
    """
    settings_from(Section, overrides)
    if len(files) > 1:
        raise UserError("analyse claims takes one table.json")
    path = Path(files[0]).expanduser() if files else shipped("zoo") / "runs" / _OURS
    return _analysed(read_table_file(path, UserError), path.name)


def read_claims() -> tuple[Claim, ...]:
    """The claims of `zoo/claims.toml`, in its order."""
    path = shipped("zoo") / "claims.toml"
    return validated(Claims, tomllib.loads(read_text(path, UserError)), where=str(path)).claims


def _analysed(table: TableFile, source: str) -> ClaimsAnalysis:
    findings, missing, lengths = [], [], _by_length(table)
    for claim in read_claims():
        for measure in claim.figures:
            found = list(_findings(claim, measure, table.columns, lengths))
            findings += found
            if not found:
                lacks = f"{measure.protocol} {measure.stage} {measure.metric} of {', '.join(claim.contrast)}"
                missing.append(f"{claim.says}: the table lacks {lacks} (equally long)")
    return ClaimsAnalysis(source, tuple(findings), (*missing, *_ambiguous(table)))


def _findings(
    claim: Claim, measure: Measure, columns: Sequence[Column], lengths: Mapping[int, Mapping[str, Row]]
) -> Iterator[Finding]:
    """One of each column that is asked, and of each length of training: unlike lengths are not compared."""
    for place, column in enumerate(columns):
        if (column.kind, column.stage, column.metric) == (measure.protocol, measure.stage, measure.metric):
            for epochs, rows in lengths.items():
                found = {method: row.figures[place] for method, row in rows.items()}
                values = {method: value for method, value in found.items() if value}
                if claim.contrast.keys() <= values.keys():
                    # Of several lengths nothing tells here which of them stands for the claim's.
                    printed = _printed(claim, measure.task) if len(lengths) == 1 else None
                    yield _finding(claim, column, epochs, values, printed)


def _by_length(table: TableFile) -> dict[int, dict[str, Row]]:
    """{epochs: {method: row}}, but for methods that stand twice in a length."""
    found: dict[int, dict[str, Row]] = {}
    for (epochs, method), (row, *others) in _settings(table).items():
        found.setdefault(epochs, {}).update({} if others else {method: row})
    return found


def _ambiguous(table: TableFile) -> list[str]:
    return [
        f"{' and '.join(plain(row.name) for row in rows)} are all {plain(method)} of {epochs} epochs, and were left out"
        for (epochs, method), rows in _settings(table).items()
        if len(rows) > 1
    ]


def _settings(table: TableFile) -> dict[tuple[int, str], list[Row]]:
    """Rows by epochs and method; untrained networks have neither."""
    found: dict[tuple[int, str], list[Row]] = {}
    for row in table.rows:
        if row.method is not None and row.epochs is not None:
            found.setdefault((row.epochs, row.method), []).append(row)
    return found


def _finding(claim: Claim, column: Column, epochs: int, values: Mapping[str, Value], printed: float | None) -> Finding:
    factors = [(factor, values[method]) for method, factor in claim.contrast.items()]
    half = _half(factors, list(values.values()))
    return Finding(
        claim.says,
        claim.table,
        column.protocol,
        column.stage,
        column.metric,
        column.n,
        epochs,
        {method: len(values[method].by_seed) for method in claim.contrast},
        100 * math.fsum(factor * value.mean for factor, value in factors),
        None if half is None else 100 * half,
        printed,
    )


def _half(factors: Sequence[tuple[float, Value]], values: Sequence[Value]) -> float | None:
    """Half of the 95 % interval of a contrast; `values` are those of all methods of that length, in the column."""
    df = sum(len(value.by_seed) - 1 for value in values)
    if not df:
        return None
    squares = math.fsum((figure - value.mean) ** 2 for value in values for figure in value.by_seed.values())
    seeds = student_quantile(0.975, df) ** 2 * squares / df * math.fsum(c**2 / len(v.by_seed) for c, v in factors)
    images = _NORMAL_975**2 * math.fsum(c**2 * _image_variance(value) for c, value in factors)
    return math.sqrt(seeds + images)


def _image_variance(value: Value) -> float:
    """Of one seed's figure, from the finite validation set."""
    halves = [(high - low) / 2 / _NORMAL_975 for low, high in filter(None, value.ci95.values())]
    return math.fsum(half**2 for half in halves) / len(halves) if halves else 0.0


def _printed(claim: Claim, task: str) -> float | None:
    """The claim's difference in the paper; None where a figure of it is not at hand."""
    rows = {row.method: row.figures for row in paper.rows(claim.table) if row.epochs == claim.epochs}
    if not task or any(task not in rows.get(method, {}) for method in claim.contrast):
        return None
    return math.fsum(factor * rows[method][task] for method, factor in claim.contrast.items())
