"""Where a sweep keeps what: `out/<cell>/seed<k>` is a run, and what belongs to it begins with its name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ladder_hub.documents import read_json, without_controls
from ladder_hub.models import read_config
from ladder_hub.registry import ModelError

UNTRAINED = "untrained"
_TAIL = 4096  # bytes of a log
_SEED = re.compile(r"seed(\d{1,19})(?:\.|$)")


@dataclass(frozen=True)
class Place:
    """One run: a cell with a seed. Also an untrained network with a seed, which has figures and no run."""

    cell: Path
    seed: int

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.cell / f"seed{self.seed}"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.beside("log")

    def beside(self, ending: str) -> Path:
        """`out/<cell>/seed<k>.<ending>`."""
        return self.cell / f"seed{self.seed}.{ending}"

    def figures(self) -> list[Path]:
        """What evaluations have left, sorted by name."""
        return sorted(self.cell.glob(f"seed{self.seed}.*-????????.json"))

    def digest(self) -> str | None:
        """Digest of the weights that the run has left; None where it is not finished."""
        if not (self.run / "artifact" / "config.json").is_file():
            return None
        return str(read_config(self.run / "artifact")["ladder_hub"].get("digest"))

    def provenance(self) -> dict[str, Any]:
        """Where the finished run's weights come from.

        Raises:
            ModelError: the file is damaged.
        """
        facts = read_json(self.run / "artifact" / "provenance.json", ModelError)
        needed: dict[str, Any] = {"wall_seconds": (int, float), "samples_seen": int, "device": str, "processes": int}
        if not isinstance(facts, dict) or not all(isinstance(facts.get(key), kind) for key, kind in needed.items()):
            raise ModelError(f"{self.run}/artifact/provenance.json lacks one of {', '.join(needed)}")
        return facts


def places(cell: Path) -> list[Place]:
    """Every seed that a cell's folder knows of, in order."""
    if not cell.is_dir():
        return []
    found = (_SEED.match(path.name) for path in cell.iterdir())
    return [Place(cell, seed) for seed in sorted({int(match[1]) for match in found if match})]


def last_words(log: Path) -> str:
    """The last line of a log, without the program's name; nothing where there is none."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        lines = file.read(_TAIL).decode("utf-8", "replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    return without_controls(last).removeprefix("ladder-hub: ").strip()
