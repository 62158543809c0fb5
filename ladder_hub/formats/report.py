"""The report of an import."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ladder_hub.documents import plain

UNKNOWN = "unknown"
_OURS = {"folder", "file", "architecture", "normalised"}
"""What provenance.json doesn't keep, or keeps in another form."""


@dataclass(frozen=True)
class ImportReport:
    """What was taken, what was left, and what to know."""

    folder: Path
    architecture: str
    layout: str
    title: str
    branch: str
    file: Path
    sha256: str
    candidates: tuple[str, ...]
    """Every backbone in the file, the one that is taken first, with how far the others' weights lie from its."""
    taken: int
    """Tensors of the file that are in the artifact."""
    filled: int
    """BatchNorm counters that the file lacks, set to 0."""
    channels: int
    """That the first convolution takes."""
    head: tuple[str, ...]
    """The classifier's tensors, left out: `fc.weight [1000, 512]`."""
    dropped: dict[str, int]
    license: str
    warning: str
    also: tuple[str, ...]
    """Other layouts with the same names."""
    twins: tuple[str, ...]
    """Other networks of timm with the same tensors."""
    normalised: bool
    """Whether the importer said how its images are normalised."""

    def facts(self) -> dict[str, str]:
        """The report for people, without the empty lines."""
        facts = {
            "file": f"{self.file} (sha256 {self.sha256})",
            "layout": f"{self.layout}: {self.title}",
            "candidates": "; ".join(self.candidates),
            "network": f"{self.architecture}, {self.branch} branch",
            "channels": "" if self.channels == 3 else f"{self.channels}: the first convolution takes so many",
            "classifier": f"left out: {', '.join(map(plain, self.head))}" if self.head else "",
            "taken": f"{self.taken} tensors",
            "dropped": ", ".join(f"{group} {count}" for group, count in self.dropped.items()),
            "missing": f"nothing but {self.filled} counters that no output depends on" if self.filled else "nothing",
            "licence": self.license if self.license != UNKNOWN else "unknown: ask its publishers before you pass it on",
            "mind": self.warning,
            "not told": "; ".join(self._untold()),
            "artifact": str(self.folder),
            "evaluate": f"ladder-hub eval knn {self.folder} data.train=FOLDER data.val=FOLDER",
            "load": f'ladder_hub.create_model("{self.folder}", features_only=True)',
        }
        return {key: value for key, value in facts.items() if value}

    def _untold(self) -> list[str]:
        """What the file doesn't say."""
        untold = [] if self.normalised else ["how its images are normalised: ImageNet's mean and std are written"]
        if self.also:
            untold.append(f"whose it is: {', '.join(self.also)} look the same, from=NAME says it")
        if self.twins:
            untold.append(f"which network: {', '.join(self.twins)} have the same tensors, arch=NAME says it")
        return untold

    def origin(self) -> dict[str, Any]:
        """What provenance.json keeps; the file's name alone, not the folders of the machine it lay on."""
        kept = {key: value for key, value in asdict(self).items() if key not in _OURS}
        return {"file": plain(self.file.name), **kept}
