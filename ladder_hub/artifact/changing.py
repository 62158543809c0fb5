"""What may change in an artifact afterwards: its figures, its name, the licence of its images. Never its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ladder_hub.artifact.contents import as_json, owned
from ladder_hub.artifact.reading import Artifact, ArtifactError, read_artifact
from ladder_hub.artifact.swap import sole_writer
from ladder_hub.card import render_card
from ladder_hub.imported_card import render_imported_card
from ladder_hub.metrics_file import Metric, merged
from ladder_hub.models import resolve
from ladder_hub.recipe import load_recipe
from ladder_hub.settings import setting
from ladder_hub.weights import write_whole


def add_metrics(folder: Path, entries: Sequence[Metric]) -> None:
    """Add what `eval` measured to an artifact, and write its card anew.

    An entry replaces the one with the same protocol, stage, metric, data and weights; all others stay.

    Raises:
        ArtifactError: an entry was measured on other weights, or the folder is damaged or can't be written.
    """
    with sole_writer(resolve(f"local-dir:{folder}")):
        _add(read_artifact(folder), entries)


def _add(artifact: Artifact, entries: Sequence[Metric]) -> None:
    if not artifact.keeps_figures:
        raise ArtifactError(
            f"{artifact.folder}: no recipe.toml; figures are kept for models that ladder-hub trained or imported"
        )
    digest = artifact.config["ladder_hub"].get("digest")
    metrics = merged(artifact.metrics, [owned(entry, digest, artifact.folder) for entry in entries])
    card = _card(artifact, metrics)
    # The card shows nothing that metrics.json lacks, even when only the first of the two gets written.
    for name, text, loss in (
        ("metrics.json", as_json(metrics), "the figures were not kept"),
        ("README.md", card, "the card lacks the new figures"),
    ):
        try:
            write_whole(artifact.folder / name, [text.encode()])
        except OSError as error:
            reason = error.strerror or error
            raise ArtifactError(f"{artifact.folder / name} can't be written ({reason}); {loss}") from None


def restate(folder: Path, keys: Mapping[str, str]) -> None:
    """Write what decides no number into an artifact's recipe and onto its card.

    Args:
        folder: Of an artifact, or of the run it lies in.
        keys: {key of the recipe: text}: `name`, `description`, `data.license`.

    Raises:
        ArtifactError: the folder is damaged, was not trained by ladder-hub, or can't be written.
    """
    with sole_writer(resolve(f"local-dir:{folder}")):
        _restate(read_artifact(folder), keys)


def _restate(artifact: Artifact, keys: Mapping[str, str]) -> None:
    path = artifact.folder / "recipe.toml"
    if not artifact.recipe:
        raise ArtifactError(
            f"{artifact.folder}: no recipe.toml; its name and the licence of its images are not ours to state"
        )
    recipe = load_recipe(str(path), [setting(key, text) for key, text in keys.items()])
    config = {**artifact.config, "ladder_hub": {**artifact.config["ladder_hub"], "recipe": recipe.name}}
    card = render_card(recipe=recipe, config=config, provenance=artifact.provenance, metrics=artifact.metrics)
    for name, text in (("recipe.toml", recipe.to_toml()), ("config.json", as_json(config)), ("README.md", card)):
        try:
            write_whole(artifact.folder / name, [text.encode()])
        except OSError as error:
            raise ArtifactError(f"{artifact.folder / name} can't be written ({error.strerror or error})") from None


def _card(artifact: Artifact, metrics: Sequence[Metric]) -> str:
    facts: dict[str, Any] = {"config": artifact.config, "provenance": artifact.provenance, "metrics": metrics}
    if not artifact.recipe:
        return render_imported_card(**facts)
    return render_card(recipe=load_recipe(str(artifact.folder / "recipe.toml")), **facts)
