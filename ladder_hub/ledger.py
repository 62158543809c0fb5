"""The ledger, `zoo/ledger.toml`: what each recipe should reach, what others have reached, what our own runs did."""

import json
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ladder_hub import paper
from ladder_hub._shipped import shipped
from ladder_hub.documents import read_text
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, validated
from ladder_hub.table_file import read_table_file

Status = Literal["reproduced", "partial", "not run"]
Figures = dict[str, Annotated[float, Field(gt=0, lt=100)]]


class LedgerError(UserError):
    """A ledger that doesn't hold together."""


class Other(Section):
    """A public figure of somebody else's for the same method."""

    source: str
    setting: str
    figures: Figures
    """{task of zoo/paper.toml: percent}."""


class Run(Section):
    """Runs of ours: a row of a sweep's table.json."""

    sweep: str
    """The file's name under zoo/runs/."""
    row: str
    """The cell."""
    setting: str
    """Network, images, budget."""


class Entry(Section):
    """A recipe."""

    recipe: str
    status: Status
    note: str = ""
    others: tuple[Other, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def paper(self) -> Figures:
        """{task: percent} of the paper for the same method and length, Table 1 before others."""
        method, _, length = self.recipe.rpartition("_")
        epochs = int(length.removesuffix("e")) if re.fullmatch(r"\d+e", length) else 0
        return {task: next(iter(figures)) for task, figures in paper.printed(method, epochs).items()}


class Ledger(Section):
    """The file."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Figure:
    """What runs of ours reached by one protocol; percent."""

    protocol: str
    stage: str
    metric: str
    images: str
    """The name of the validation set."""
    mean: float
    """Over seeds."""
    std: float | None
    """The sample's; None of one seed."""
    seeds: int

    @property
    def is_main(self) -> bool:
        """Whether a short table shows it."""
        return self.stage in ("res5", "pyramid") and self.metric in ("top1", "miou", "box_ap", "mask_ap")

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.1f}"
        return f"{self.protocol} {self.stage} {self.metric} {self.mean:.1f}{spread} (n = {self.seeds} seeds)"


@dataclass(frozen=True)
class Measured:
    """What runs of ours reached."""

    setting: str
    figures: tuple[Figure, ...]
    hours: tuple[float, ...]
    """Wall time of each run."""
    device: str


def read_ledger(folder: Path | None = None) -> tuple[Entry, ...]:
    """Every entry, in the file's order.

    Args:
        folder: None: the zoo that ladder-hub ships.

    Raises:
        LedgerError: it is no TOML, a recipe stands twice, or a status does not fit its runs.
        SettingError: a key is unknown or can't have its value.
    """
    path = (folder or shipped("zoo")) / "ledger.toml"
    try:
        keys = tomllib.loads(read_text(path, LedgerError))
    except tomllib.TOMLDecodeError as error:
        raise LedgerError(f"{path}: {error}") from None
    entries = validated(Ledger, keys, where=str(path)).entries
    if len({entry.recipe for entry in entries}) < len(entries):
        raise LedgerError(f"{path}: a recipe stands twice")
    for entry in entries:
        if (entry.status == "not run") == bool(entry.runs):
            raise LedgerError(f"{path}: {entry.recipe} is {entry.status!r} with {len(entry.runs)} runs")
    return entries


def measured(run: Run, folder: Path | None = None) -> Measured:
    """The figures of runs of ours.

    Raises:
        LedgerError: there is no such file or row, or the file is no table of a sweep.
    """
    path = (folder or shipped("zoo")) / "runs" / run.sweep
    table = read_table_file(path, LedgerError)
    rows = [row for row in table.rows if row.name == run.row]
    if len(rows) != 1:
        raise LedgerError(f"{path}: {len(rows)} rows are called {run.row}, not 1")
    figures = tuple(
        Figure(
            column.protocol,
            column.stage,
            column.metric,
            column.data.val.name,
            100 * value.mean,
            None if value.std is None else 100 * value.std,
            len(value.by_seed),
        )
        for column, value in zip(table.columns, rows[0].figures, strict=True)
        if value
    )
    devices = ", ".join(sorted({cost.device for cost in rows[0].runs}))
    return Measured(run.setting, figures, tuple(cost.hours for cost in rows[0].runs), devices)


def ledger_dict(entries: tuple[Entry, ...]) -> list[dict[str, Any]]:
    """For JSON: the entries with the paper's figures and those of our runs."""
    return [
        {**json.loads(entry.model_dump_json()), "paper": entry.paper, "ours": [asdict(measured(r)) for r in entry.runs]}
        for entry in entries
    ]
