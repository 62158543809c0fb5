"""`log.jsonl` and TensorBoard's events: the same lines, one a logging step."""

import json
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from ladder_hub.weights import write_whole


class Log(Protocol):
    """Where a loop writes its records."""

    path: Path
    records: list[dict[str, Any]]

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        ...

    def close(self) -> None:
        """No more is written."""
        ...


class NoLog:
    """What every process but the first writes to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"
        self.records: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class RunLog:
    """Appends records to `folder/log.jsonl` and to TensorBoard; continues an interrupted log after step `after`.

    A record is a flat or once-nested dict of numbers with `step`, `epoch` and `samples`; the horizontal axis is
    samples seen, so that runs of different batch sizes lie over each other.
    """

    def __init__(self, folder: Path, *, after: int = -1) -> None:
        self.path = folder / "log.jsonl"
        self.records = [record for record in read_log(folder) if record["step"] <= after]
        write_whole(self.path, [(json.dumps(record) + "\n").encode() for record in self.records])
        purge = None if after < 0 else max((r["samples"] for r in self.records), default=0) + 1
        self._events = SummaryWriter(str(folder), purge_step=purge)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; on disk when this returns."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        for name, value in _flat(record):
            if name not in ("step", "epoch", "samples") and isinstance(value, int | float):
                self._events.add_scalar(name, value, record["samples"])
        self._events.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._events.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of a run; a last line cut by a kill is left out."""
    path = folder / "log.jsonl"
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _flat(record: dict[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in record.items():
        flat += [(f"{key}/{inner}", v) for inner, v in value.items()] if isinstance(value, dict) else [(key, value)]
    return flat
