"""A run as far as it is: its recipe, its log, and its artifact where there is one already."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from ladder_hub.analysis.labels import short_names
from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.documents import plain
from ladder_hub.errors import UserError
from ladder_hub.plotting import MODEL_COLOURS
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.log import read_log

_DASHES = ("-", "--", "-.", ":")
Record = dict[str, Any]


@dataclass(frozen=True)
class ReportedRun:
    """One run of a report."""

    folder: Path
    name: str
    """As short as tells the runs apart."""
    number: int
    """Its place among them, from 0: decides its colour and dashes."""
    recipe: Recipe
    log: list[Record]
    artifact: Artifact | None
    """None where the run has not come to its end."""

    @property
    def colour(self) -> str:
        """The same on the whole page."""
        return MODEL_COLOURS[self.number % len(MODEL_COLOURS)]

    @property
    def dashes(self) -> str:
        """For a grey printer."""
        return _DASHES[self.number % len(_DASHES)]

    @cached_property
    def steps(self) -> list[Record]:
        """The records of training steps."""
        return [record for record in self.log if isinstance(record.get("losses"), dict)]

    @property
    def weights(self) -> str:
        """What `collapse_networks.networks` takes: the artifact, else the run with its checkpoints; else nothing."""
        if self.artifact:
            return str(self.artifact.folder)
        return str(self.folder) if any((self.folder / "checkpoints").glob("step_*.pt")) else ""

    @property
    def samples(self) -> int:
        """Images seen by the last record."""
        return max((record["samples"] for record in self.log), default=0)

    @property
    def seconds(self) -> float:
        """Wall time; of an unfinished run what its logged speeds add up to."""
        told = self.artifact and self.artifact.provenance.get("wall_seconds")
        if isinstance(told, int | float):
            return float(told)
        seen, seconds = 0, 0.0
        for record in self.steps:
            speed = record.get("samples_per_second")
            if isinstance(speed, int | float) and speed > 0:
                seconds += (record["samples"] - seen) / speed
            seen = record["samples"]
        return seconds

    @staticmethod
    def table(record: Record, key: str) -> dict[str, float]:
        """The numbers of `record[key]`, such as `losses`: {level: value}."""
        value = record.get(key)
        return {k: float(v) for k, v in value.items() if _is_number(v)} if isinstance(value, dict) else {}

    def names(self, key: str) -> list[str]:
        """The levels or heads for which `key` was ever logged, sorted."""
        return sorted({name for record in self.steps for name in self.table(record, key)})

    def points(self, key: str, name: str = "") -> list[tuple[int, float]]:
        """(samples seen, value) of `record[key]`, or of `record[key][name]`, where it is a number."""
        found = []
        for record in self.log:
            value = record.get(key)
            value = value.get(name) if name and isinstance(value, dict) else value
            if _is_number(value):
                found.append((record["samples"], float(value)))
        return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def open_runs(folders: Sequence[str]) -> list[ReportedRun]:
    """The runs of a report, in the order in which they were named.

    Args:
        folders: Of runs, or of artifacts of ours (which have no log).

    Raises:
        UserError: no folder, no run in one, or one of its files is damaged.
    """
    if not folders:
        raise UserError("report takes at least one RUN: the folder of a run")
    places = [Path(folder).expanduser() for folder in folders]
    if len(set(places)) < len(places):
        raise UserError("report: a run is named twice")
    names = short_names([str(place) for place in places])
    runs = [_open(place, name) for place, name in zip(places, names, strict=True)]
    # Finished ones take the first colours, an untrained network the next: charts of weights count these alone.
    order = sorted(runs, key=lambda run: run.artifact is None)
    return [replace(run, number=order.index(run) + (run.artifact is None)) for run in runs]


def _open(folder: Path, name: str) -> ReportedRun:
    if not (folder / "recipe.toml").is_file():
        what = "no run there (it has no recipe.toml)" if folder.is_dir() else "no such folder"
        raise UserError(f"{plain(str(folder))}: {what}; report takes the folders of runs")
    whole = (folder / "config.json").is_file() or (folder / "artifact" / "config.json").is_file()
    recipe = load_recipe(str(folder / "recipe.toml"))
    return ReportedRun(folder, name, 0, recipe, _log(folder), read_artifact(folder) if whole else None)


def _log(folder: Path) -> list[Record]:
    try:
        records = read_log(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{plain(str(folder / 'log.jsonl'))} can't be read: {error}") from None
    return [record for record in records if isinstance(record, dict) and isinstance(record.get("samples"), int)]
