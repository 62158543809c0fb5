"""What an artifact's files say. The weights stay on the disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ladder_hub.documents import plain, read_json, read_text
from ladder_hub.errors import UserError
from ladder_hub.metrics_file import Metric, read_metrics
from ladder_hub.models import read_config, resolve
from ladder_hub.weights import load_tensors, readable_sha256

HEADS = "ladder_heads.safetensors"


class ArtifactError(UserError):
    """A folder that is no artifact, or figures that are not this artifact's."""


@dataclass(frozen=True)
class Artifact:
    """A published model, read: what its files say. The weights stay on the disk."""

    folder: Path
    config: dict[str, Any]
    architecture: str
    weights: Path
    metrics: list[Metric]
    provenance: dict[str, Any]
    recipe: str
    """The text of recipe.toml; empty where a model of other origin has none."""

    @property
    def keeps_figures(self) -> bool:
        """Whether ladder-hub wrote it, and so can write its card anew."""
        return bool(self.recipe) or isinstance(self.provenance.get("imported"), dict)


def read_artifact(folder: Path) -> Artifact:
    """What the artifact in `folder` (or in the run `folder`) says.

    Raises:
        ModelError: no model there.
        ArtifactError: one of its files is damaged.
    """
    folder = resolve(f"local-dir:{folder}")
    config = read_config(folder)
    recipe = folder / "recipe.toml"
    return Artifact(
        folder=folder,
        config=config,
        architecture=config["architecture"],
        weights=folder / "model.safetensors",
        metrics=read_metrics(folder / "metrics.json", ArtifactError),
        provenance=_read_table(folder / "provenance.json"),
        recipe=read_text(recipe, ArtifactError) if recipe.is_file() else "",
    )


def load_heads(folder: Path) -> dict[str, Tensor] | None:
    """What training needs beside the backbone, checked against the artifact's config, on the CPU.

    Args:
        folder: Of an artifact, as `resolve` gives it.

    Returns:
        {name: tensor} as `write_artifact` got it, or None where the artifact has no such file.

    Raises:
        ArtifactError: another file than the one that was published.
        WeightsError: not a sound safetensors file.
    """
    path = folder / HEADS
    if not path.is_file():
        return None
    found = readable_sha256(path)
    published = str(read_config(folder)["ladder_hub"].get("heads_sha256", found))
    if published != found:
        raise ArtifactError(
            f"{path}: not the published heads: sha256 {found[:16]}…, published {plain(published[:16])}…; "
            "fetch them again"
        )
    return load_tensors(path)


def _read_table(path: Path) -> dict[str, Any]:
    """Of a JSON file; nothing where there is none."""
    if not path.is_file():
        return {}
    value = read_json(path, ArtifactError)
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: a table was expected")
    return value
