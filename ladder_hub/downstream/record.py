"""Where figures go: into the artifact that was measured, if it is the user's own, and onto its card."""

from collections.abc import Sequence
from pathlib import Path

from ladder_hub.artifact.changing import add_metrics
from ladder_hub.artifact.reading import Artifact, ArtifactError
from ladder_hub.downstream.metrics import Facts


def keep(model: str, artifact: Artifact | None, entries: Sequence[Facts]) -> list[Facts]:
    """Write the figures into metrics.json and the card, where MODEL is an artifact of ladder-hub on this disk.

    Args:
        model: MODEL as it was typed.
        artifact: As `open_subject` found it.
        entries: From `metrics.entry`.

    Returns:
        The entries, with the baseline that the run has measured of the same thing.

    Raises:
        ArtifactError: they can't be written; the message tells the figures all the same.
    """
    if artifact is None:
        return list(entries)
    known = [new | {"baseline": _known_baseline(artifact, new)} for new in entries]
    if artifact.keeps_figures and not model.startswith("hf-hub:") and Path(model.removeprefix("local-dir:")).exists():
        try:
            add_metrics(artifact.folder, known)
        except ArtifactError as error:
            # What took an hour to measure is told all the same.
            raise ArtifactError(f"{error}: {_told(known)}") from None
    return known


def _told(entries: Sequence[Facts]) -> str:
    return ", ".join(f"{entry['stage']} {entry['metric']} {entry['value']:.4f}" for entry in entries)


def _known_baseline(artifact: Artifact, new: Facts) -> float | None:
    """The figure before training, where the run itself measured the same thing; else what the entry has."""
    same = ("protocol", "stage", "metric", "data", "weights")
    found = (old["baseline"] for old in artifact.metrics if all(old.get(key) == new[key] for key in same))
    return next((baseline for baseline in found if baseline is not None), new["baseline"])
