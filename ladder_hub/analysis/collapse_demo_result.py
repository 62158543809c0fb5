"""What `analyse collapse-demo` found: when each stage became constant, and whether the sets were nested."""

from dataclasses import dataclass
from typing import Any

from ladder_hub.analysis.collapse_result import NetworkReading, is_nested
from ladder_hub.backbone import STAGE_NAMES


@dataclass(frozen=True)
class Arm:
    """One training."""

    name: str
    readings: tuple[NetworkReading, ...]
    """From step 0 to the last."""
    losses: tuple[float, ...]
    """Of every step, before it was taken."""
    compared: tuple[float, ...]
    """sqrt(d) * std of the unit vectors that the loss compared in that step: projections, or the stage itself."""

    @property
    def since(self) -> dict[str, int | None]:
        """{stage: from which step on every reading says that it has collapsed completely}; None: not at the end."""
        return {stage: self._since(stage) for stage in STAGE_NAMES}

    @property
    def not_nested(self) -> tuple[int, ...]:
        """Steps at which a stage had collapsed and a later one had not, by the bound on the spread."""
        return tuple(reading.step or 0 for reading in self.readings if not is_nested(reading.collapsed))

    def _since(self, stage: str) -> int | None:
        found = None
        for reading in self.readings:
            here = reading.stages[stage].verdict == "complete"
            found = (reading.step if found is None else found) if here else None
        return found


@dataclass(frozen=True)
class CollapseDemo:
    """All arms, from the same weights, on the same views."""

    stage: str
    """Which carries the loss."""
    seed: int
    n: int
    """Images of a reading."""
    arms: tuple[Arm, ...]

    def table(self) -> tuple[list[str], list[tuple[str, ...]]]:
        """Header and rows for a terminal: a row an arm and stage."""
        header = ["training", "of", "std at step 0", "at the end", "collapse", "complete since step"]
        rows: list[tuple[str, ...]] = []
        for arm in self.arms:
            for stage, since in arm.since.items():
                first, last = arm.readings[0].stages[stage], arm.readings[-1].stages[stage]
                spread = (f"{first.pooled.std:.3f}", f"{last.pooled.std:.3f}")
                rows.append((arm.name, stage, *spread, last.verdict, "" if since is None else str(since)))
            rows.append((arm.name, "compared", f"{arm.compared[0]:.3f}", f"{arm.compared[-1]:.3f}", "", ""))
        return header, rows

    def verdicts(self) -> list[str]:
        """A line an arm."""
        return [f"{arm.name}: {self._verdict(arm)}" for arm in self.arms]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        facts = {"analysis": "collapse-demo", "stage": self.stage, "seed": self.seed, "n": self.n}
        return facts | {"arms": [_arm(arm) for arm in self.arms]}

    def _verdict(self, arm: Arm) -> str:
        collapsed = arm.readings[-1].collapsed
        if not collapsed:
            return "no stage has collapsed"
        nested = "nested at every reading" if not arm.not_nested else f"not nested at step {_list(arm.not_nested)}"
        return f"{', '.join(collapsed)} collapsed; {nested}"


def _list(steps: tuple[int, ...]) -> str:
    return ", ".join(map(str, steps))


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "training": arm.name,
        "complete_since": arm.since,
        "not_nested": list(arm.not_nested),
        "losses": list(arm.losses),
        "compared_std": list(arm.compared),
        "readings": [
            {
                "step": reading.step,
                "collapsed": reading.collapsed,
                "stages": {stage: found.to_dict() for stage, found in reading.stages.items()},
            }
            for reading in arm.readings
        ],
    }
