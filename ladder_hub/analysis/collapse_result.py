"""What `analyse collapse` found: curves of the projections, and a reading of every stage at every checkpoint."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ladder_hub.analysis.labels import short_names
from ladder_hub.analysis.spread_reading import LOW_RANK, StageReading, Verdict
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.training.monitors import COLLAPSED_RANK, COLLAPSED_STD


@dataclass(frozen=True)
class HeadCurve:
    """The projections of one head over the run, as its log has them: of one micro-batch a logging step."""

    name: str
    """`res3.global`"""
    steps: tuple[int, ...]
    std: tuple[float, ...]
    """sqrt(d) * std of the unit vectors."""
    rank: tuple[float, ...]
    """Effective rank."""
    allowed: int
    """The most that the rank of a global head could be: its width, or the images of a micro-batch."""

    @property
    def verdict(self) -> Verdict:
        """Of the last logged step, by the bounds that warn during training (`training/monitors.py`).

        A rank below `COLLAPSED_RANK` alone is a line, not a point: dimensional.
        """
        if self.std[-1] < COLLAPSED_STD:
            return "complete"
        return "dimensional" if self.rank[-1] < max(COLLAPSED_RANK, LOW_RANK * self.allowed) else "none"


@dataclass(frozen=True)
class NetworkReading:
    """Every stage of a backbone at one step."""

    step: int | None
    n: int
    """Images that were read."""
    stages: dict[str, StageReading]

    @property
    def collapsed(self) -> list[str]:
        """Stages that have collapsed completely, lowest first."""
        return [stage for stage in STAGE_NAMES if self.stages[stage].verdict == "complete"]


@dataclass(frozen=True)
class RunCollapse:
    """One run."""

    name: str
    heads: tuple[HeadCurve, ...]
    networks: tuple[NetworkReading, ...]

    @property
    def verdict(self) -> str:
        """Of the newest network, in words."""
        newest = self.networks[-1]
        collapsed, kinds = newest.collapsed, {s: r.verdict for s, r in newest.stages.items() if r.verdict != "none"}
        heads = [head.name for head in self.heads if head.verdict == "complete"]
        words = [f"projections of {', '.join(heads)} have collapsed"] if heads else []
        if not kinds:
            return "; ".join([*words, "no stage has collapsed"])
        if collapsed:
            nested = "nested as Theorem 1 says" if is_nested(collapsed) else "NOT nested, so no exact constant"
            words.append(f"{', '.join(collapsed)} collapsed completely ({nested})")
        words += [f"{stage}: {kind}" for stage, kind in kinds.items() if kind != "complete"]
        return "; ".join(words)


@dataclass(frozen=True)
class CollapseAnalysis:
    """Some runs, on the same images."""

    runs: tuple[RunCollapse, ...]
    data: dict[str, Any]
    """Fingerprint of the images."""

    @property
    def names(self) -> list[str]:
        """Short names of the runs."""
        return short_names([run.name for run in self.runs])

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows for a terminal: a row a head (last logged step), and a row a stage and checkpoint."""
        rows: list[tuple[str, ...]] = []
        for name, run in zip(self.names, self.runs, strict=True):
            for head in run.heads:
                rank = f"{head.rank[-1]:.1f} of {head.allowed}"
                rows.append((name, str(head.steps[-1]), f"{head.name} head", head.verdict, f"{head.std[-1]:.3f}"))
                rows[-1] += ("", rank, "", "")
            for network in run.networks:
                step = "" if network.step is None else str(network.step)
                rows += [(name, step, stage, *_cells(reading)) for stage, reading in network.stages.items()]
        header = ["run", "step", "of", "collapse", "std", "std of cells", "rank", "directions", "constant channels"]
        return header, rows

    def verdicts(self) -> list[str]:
        """A line a run."""
        return [f"{name}: {run.verdict}" for name, run in zip(self.names, self.runs, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"analysis": "collapse", "data": self.data, "runs": [_run(run) for run in self.runs]}


def is_nested(collapsed: Sequence[str]) -> bool:
    """Whether with every collapsed stage all later ones have collapsed (Theorem 1)."""
    return list(collapsed) == list(STAGE_NAMES[len(STAGE_NAMES) - len(collapsed) :])


def _cells(reading: StageReading) -> tuple[str, ...]:
    pooled, cells = reading.pooled, reading.cells
    rank = f"{pooled.centred_rank:.1f} of {pooled.allowed}"
    spread = (f"{pooled.std:.3f}", f"{cells.std:.3f}", rank, str(pooled.directions), f"{cells.constant:.1%}")
    return (reading.verdict, *spread)


def _run(run: RunCollapse) -> dict[str, Any]:
    return {
        "run": run.name,
        "verdict": run.verdict,
        "heads": [asdict(head) | {"verdict": head.verdict} for head in run.heads],
        "networks": [
            {
                "step": network.step,
                "n": network.n,
                "collapsed": network.collapsed,
                "nested": is_nested(network.collapsed),
                "stages": {stage: reading.to_dict() for stage, reading in network.stages.items()},
            }
            for network in run.networks
        ],
    }
