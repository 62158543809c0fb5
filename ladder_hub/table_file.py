"""The table.json that `ladder-hub sweep` writes, read again; whoever wrote it, what is read holds together."""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ladder_hub.documents import plain, read_json
from ladder_hub.errors import UserError

Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[str, Field(pattern=r"^\d+$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)  # what else stands there is of no use here


class Images(_Part):
    """A set of images."""

    name: str


class Data(_Part):
    """What a column was measured with."""

    val: Images


class Column(_Part):
    """What was measured."""

    protocol: str
    """`linear:cached-sgd-coslr-100e`."""
    stage: str
    metric: str
    n: Annotated[int, Field(ge=1)]
    """Validation images."""
    data: Data

    @property
    def kind(self) -> str:
        """The protocol up to its colon: `linear`."""
        return self.protocol.partition(":")[0]


class OverSeeds:
    """Mean and spread of whatever has a figure by seed, 0..1."""

    by_seed: Mapping[Any, float]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def std(self) -> float | None:
        """The sample's (n - 1); None of one seed."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None


class Value(OverSeeds, _Part):
    """A figure over seeds."""

    by_seed: Annotated[dict[Seed, Share], Field(min_length=1)]
    ci95: dict[Seed, tuple[Share, Share] | None]
    """From the finite validation set."""


class Cost(_Part):
    """What a run took."""

    hours: Annotated[float, Field(ge=0)]
    device: str


class Row(_Part):
    """A cell of the grid, or an untrained network."""

    name: str
    method: str | None
    """None of what has no finished run."""
    epochs: int | None
    figures: tuple[Value | None, ...]
    """By column."""
    runs: tuple[Cost, ...]


class TableFile(_Part):
    """The file."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _fits(self) -> "TableFile":
        for row in self.rows:
            if len(row.figures) != len(self.columns):
                raise ValueError(f"{plain(row.name)} has {len(row.figures)} figures, not {len(self.columns)}")
        return self


def read_table_file(path: Path, failure: type[UserError]) -> TableFile:
    """The table in a file.

    Raises:
        failure: there is no such file, or it is no table of a sweep.
    """
    try:
        return TableFile.model_validate_json(json.dumps(read_json(path, failure)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = plain(".".join(str(part) for part in first["loc"]) or "rows")
        raise failure(f"{path}: no table of `ladder-hub sweep`: {place}: {first['msg']}") from None
