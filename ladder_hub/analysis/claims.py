"""`analyse claims`: which of the paper's claims hold in a table that `ladder-hub sweep` wrote.

A claim is a contrast: methods with factors c whose weighted sum of figures lies above zero. Its 95 % interval has two
parts, added as squares: seeds, and the finite validation set. The first is Student's t times s sqrt(sum c^2 / n), with
s pooled over all methods of the table (one with two seeds has hardly a variance of its own). The second takes the
methods' errors as independent; all meet the same images, so it is too wide rather than too narrow.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ladder_hub import paper
from ladder_hub._shipped import shipped
from ladder_hub.analysis.claims_result import ClaimsAnalysis, Finding
from ladder_hub.analysis.pearson import student_quantile
from ladder_hub.documents import read_json, read_text
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, settings_from, validated

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
    table = read_json(path, UserError)
    try:
        return _analysed(table, path.name)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: no table of `ladder-hub sweep` ({type(error).__name__}: {error})") from None


def read_claims() -> tuple[Claim, ...]:
    """The claims of `zoo/claims.toml`, in its order."""
    path = shipped("zoo") / "claims.toml"
    return validated(Claims, tomllib.loads(read_text(path, UserError)), where=str(path)).claims


@dataclass(frozen=True)
class _Cell:
    """What a method has reached in one column, 0..1."""

    by_seed: tuple[float, ...]
    image_variance: float
    """Of one seed's figure, from the finite validation set."""

    @property
    def mean(self) -> float:
        return math.fsum(self.by_seed) / len(self.by_seed)

    @property
    def squares(self) -> float:
        return math.fsum((value - self.mean) ** 2 for value in self.by_seed)


def _analysed(table: Any, source: str) -> ClaimsAnalysis:
    columns = [_cells(table["rows"], place) for place in range(len(table["columns"]))]
    findings, missing = [], []
    for claim in read_claims():
        for measure in claim.figures:
            found = [
                _finding(claim, measure, column, cells)
                for column, cells in zip(table["columns"], columns, strict=True)
                if _is(column, measure) and claim.contrast.keys() <= cells.keys()
            ]
            findings += found
            if not found:
                lacks = f"{measure.protocol} {measure.stage} {measure.metric} of {', '.join(claim.contrast)}"
                missing.append(f"{claim.says}: the table lacks {lacks}")
    return ClaimsAnalysis(source, tuple(findings), tuple(missing))


def _is(column: Mapping[str, Any], measure: Measure) -> bool:
    asked = (measure.protocol, measure.stage, measure.metric)
    return (column["protocol"].partition(":")[0], column["stage"], column["metric"]) == asked


def _cells(rows: Sequence[Mapping[str, Any]], place: int) -> dict[str, _Cell]:
    """{method: what it has reached in a column}; untrained networks have no method."""
    found = {row["method"]: row["figures"][place] for row in rows if row["method"]}
    return {method: _cell(value) for method, value in found.items() if value}


def _cell(value: Mapping[str, Any]) -> _Cell:
    halves = [(high - low) / 2 / _NORMAL_975 for low, high in filter(None, value["ci95"].values())]
    variance = math.fsum(half**2 for half in halves) / len(halves) if halves else 0.0
    return _Cell(tuple(value["by_seed"].values()), variance)


def _finding(claim: Claim, measure: Measure, column: Mapping[str, Any], cells: Mapping[str, _Cell]) -> Finding:
    factors = {method: (factor, cells[method]) for method, factor in claim.contrast.items()}
    half = _half(list(factors.values()), list(cells.values()))
    return Finding(
        claim.says,
        claim.table,
        column["protocol"],
        column["stage"],
        column["metric"],
        column["n"],
        {method: len(cell.by_seed) for method, (_, cell) in factors.items()},
        100 * math.fsum(factor * cell.mean for factor, cell in factors.values()),
        None if half is None else 100 * half,
        _printed(claim, measure.task),
    )


def _half(factors: Sequence[tuple[float, _Cell]], cells: Sequence[_Cell]) -> float | None:
    """Half of the 95 % interval of a contrast; `cells` are all those of the column."""
    df = sum(len(cell.by_seed) - 1 for cell in cells)
    if not df:
        return None
    pooled = math.fsum(cell.squares for cell in cells) / df
    seeds = student_quantile(0.975, df) ** 2 * pooled * math.fsum(c**2 / len(cell.by_seed) for c, cell in factors)
    images = _NORMAL_975**2 * math.fsum(c**2 * cell.image_variance for c, cell in factors)
    return math.sqrt(seeds + images)


def _printed(claim: Claim, task: str) -> float | None:
    """The claim's difference in the paper; None where a figure of it is not at hand."""
    rows = {row.method: row.figures for row in paper.rows(claim.table) if row.epochs == claim.epochs}
    if not task or any(task not in rows.get(method, {}) for method in claim.contrast):
        return None
    return math.fsum(factor * rows[method][task] for method, factor in claim.contrast.items())
