"""What `analyse claims` finds: a claim, its difference with an interval, and what may be said of it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["held", "did not hold", "can't tell"]


@dataclass(frozen=True)
class Finding:
    """A claim, by one figure. All numbers are percentage points."""

    says: str
    table: int
    protocol: str
    stage: str
    metric: str
    n: int
    """Validation images."""
    epochs: int
    """Of training."""
    seeds: dict[str, int]
    """By method."""
    value: float
    half: float | None
    """Half of the 95 % interval; None where no method has two seeds."""
    paper: float | None
    """The same difference in the paper."""

    @property
    def after(self) -> str:
        """How long the methods were trained, in words."""
        return f" after {self.epochs} epochs"

    @property
    def verdict(self) -> Verdict:
        """What may be said: `held` where the whole interval lies above zero, `did not hold` where it lies below."""
        if self.half is None or abs(self.value) <= self.half:
            return "can't tell"
        return "held" if self.value > 0 else "did not hold"


@dataclass(frozen=True)
class ClaimsAnalysis:
    """Every claim that a table has the figures for."""

    source: str
    findings: tuple[Finding, ...]
    missing: tuple[str, ...]
    """What could not be asked, a line each."""

    @property
    def of_one_length(self) -> bool:
        """Whether all that was compared was trained equally long."""
        return len({finding.epochs for finding in self.findings}) < 2

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows for a terminal."""
        rows = [_row(finding, "" if self.of_one_length else finding.after) for finding in self.findings]
        return ["claim", "of the paper", "by", "difference", "paper", "verdict"], rows

    def notes(self) -> list[str]:
        """What must be known beside the numbers, a line each."""
        seeds = sorted({n for finding in self.findings for n in finding.seeds.values()})
        told = " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))) if seeds else "no"
        lines = [f"{self.source}: percentage points with 95 % intervals over {told} seeds and the validation images"]
        return [*lines, *self.missing]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = [asdict(finding) | {"verdict": finding.verdict} for finding in self.findings]
        return {"analysis": "claims", "source": self.source, "findings": found, "missing": list(self.missing)}


def _row(finding: Finding, after: str) -> tuple[str, ...]:
    interval = "" if finding.half is None else f" ± {finding.half:.1f}"
    by = f"{finding.protocol} {finding.stage} {finding.metric}{after}"
    printed = "" if finding.paper is None else f"{finding.paper:+.1f}"
    value = f"{finding.value:+.1f}{interval}"
    return finding.says, f"Table {finding.table}", by, value, printed, finding.verdict
