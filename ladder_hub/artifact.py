"""The folder that a run publishes: written whole or not at all, loadable with timm alone.

The network in it is stock, headless and float32, every field of its config is ours, and what we have to say
beyond timm's format stands under one root key, `ladder_hub` (an unknown key inside `pretrained_cfg` would
break timm).
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ladder_hub
from ladder_hub.backbone import explicit_cfg, skeleton
from ladder_hub.card import render_card
from ladder_hub.curves import draw_curves
from ladder_hub.documents import plain, read_json, read_text
from ladder_hub.errors import UserError
from ladder_hub.imported_card import render_imported_card
from ladder_hub.metrics_file import Metric, merged, read_metrics
from ladder_hub.models import read_config, resolve
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.weights import (
    file_sha256,
    load_tensors,
    readable_sha256,
    save_canonical,
    tensor_digest,
    write_whole,
)

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


def write_artifact(
    folder: Path,
    *,
    backbone: nn.Module,
    recipe: Recipe,
    provenance: Mapping[str, Any],
    metrics: Sequence[Metric],
    log: Sequence[Mapping[str, Any]],
    heads: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a run's result to `folder`, replacing what is there only when the new one is complete.

    Figures that stand there of the same weights stay, where `metrics` has none of their kind.

    Args:
        folder: Its parent must exist.
        backbone: From `build_backbone(recipe.model.backbone)`, on any device, in any memory format.
        recipe: As it was run.
        provenance: Commit, versions, data fingerprint, seed, samples seen, ...; the digests of the weights
            and the recipe's fingerprint are added here.
        metrics: What `eval` measured on these weights.
        log: Lines of log.jsonl, for the curves.
        heads: Projectors, predictors, target: everything else that training needs to go on from here.

    Raises:
        ArtifactError: the backbone is not stock, or a metric was measured on other weights.
    """
    tensors = _publishable(backbone, recipe.model.backbone)
    digest = tensor_digest(tensors)
    new_metrics = [_owned({"weights": digest, **entry}, digest, folder) for entry in metrics]
    with _swapped_in(folder) as new:
        save_canonical(tensors, new / "model.safetensors")
        sha256 = file_sha256(new / "model.safetensors")
        samples = provenance.get("samples_seen")
        config = _config(recipe, backbone, sha256=sha256, digest=digest, samples_seen=samples)
        if heads:
            save_canonical(heads, new / HEADS)
            config["ladder_hub"]["heads_sha256"] = file_sha256(new / HEADS)
        entries = merged(_measured_before(folder, digest), new_metrics)
        facts = {
            **provenance,
            "weights_sha256": sha256,
            "weights_digest": digest,
            "recipe_fingerprint": recipe.fingerprint(),
        }
        for name, value in (("config", config), ("provenance", facts), ("metrics", entries)):
            (new / f"{name}.json").write_text(_json(value), encoding="utf-8")
        (new / "recipe.toml").write_text(recipe.published().to_toml(), encoding="utf-8")
        draw_curves(log, new / "curves.png")
        card = render_card(recipe=recipe, config=config, provenance=facts, metrics=entries)
        (new / "README.md").write_text(card, encoding="utf-8")


def write_imported(
    folder: Path,
    *,
    architecture: str,
    tensors: Mapping[str, Tensor],
    cfg: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> None:
    """Write weights that were trained elsewhere to `folder`, as `write_artifact` writes our own.

    Args:
        folder: Its parents are made.
        architecture: Of timm.
        tensors: Exactly those of the network without a classifier, float32 on the CPU.
        cfg: The `pretrained_cfg`, from `backbone.explicit_cfg`.
        origin: Where they come from: file, sha256, layout, branch, license, ...; provenance.json keeps it.
    """
    digest = tensor_digest(tensors)
    with _swapped_in(folder) as new:
        save_canonical(tensors, new / "model.safetensors")
        sha256 = file_sha256(new / "model.safetensors")
        ours = {"imported": origin["layout"], "sha256": sha256, "digest": digest, "branch": origin["branch"]}
        config = {
            "architecture": architecture,
            "num_classes": 0,
            "num_features": skeleton(architecture).num_features,
            "pretrained_cfg": dict(cfg),
            "ladder_hub": ours | {"version": ladder_hub.__version__},
        }
        facts = {"imported": dict(origin), "weights_sha256": sha256, "weights_digest": digest}
        entries = _measured_before(folder, digest)
        for name, value in (("config", config), ("provenance", facts), ("metrics", entries)):
            (new / f"{name}.json").write_text(_json(value), encoding="utf-8")
        card = render_imported_card(config=config, provenance=facts, metrics=entries)
        (new / "README.md").write_text(card, encoding="utf-8")


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


def add_metrics(folder: Path, entries: Sequence[Metric]) -> None:
    """Add what `eval` measured to an artifact, and write its card anew.

    An entry replaces the one with the same protocol, stage, metric, data and weights; all others stay.

    Raises:
        ArtifactError: an entry was measured on other weights, or the folder is damaged or can't be written.
    """
    artifact = read_artifact(folder)
    if not artifact.keeps_figures:
        raise ArtifactError(
            f"{artifact.folder}: no recipe.toml; figures are kept for models that ladder-hub trained or imported"
        )
    digest = artifact.config["ladder_hub"].get("digest")
    metrics = merged(artifact.metrics, [_owned(entry, digest, artifact.folder) for entry in entries])
    card = _card(artifact, metrics)
    # The card shows nothing that metrics.json lacks, even when only the first of the two gets written.
    for name, text, loss in (
        ("metrics.json", _json(metrics), "the figures were not kept"),
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
    artifact = read_artifact(folder)
    path = artifact.folder / "recipe.toml"
    if not artifact.recipe:
        raise ArtifactError(
            f"{artifact.folder}: no recipe.toml; its name and the licence of its images are not ours to state"
        )
    recipe = load_recipe(str(path), [f"{key}={json.dumps(text)}" for key, text in keys.items()])
    config = {**artifact.config, "ladder_hub": {**artifact.config["ladder_hub"], "recipe": recipe.name}}
    card = render_card(recipe=recipe, config=config, provenance=artifact.provenance, metrics=artifact.metrics)
    for name, text in (("recipe.toml", recipe.to_toml()), ("config.json", _json(config)), ("README.md", card)):
        try:
            write_whole(artifact.folder / name, [text.encode()])
        except OSError as error:
            raise ArtifactError(f"{artifact.folder / name} can't be written ({error.strerror or error})") from None


def _card(artifact: Artifact, metrics: Sequence[Metric]) -> str:
    facts: dict[str, Any] = {"config": artifact.config, "provenance": artifact.provenance, "metrics": metrics}
    if not artifact.recipe:
        return render_imported_card(**facts)
    return render_card(recipe=load_recipe(str(artifact.folder / "recipe.toml")), **facts)


def _publishable(backbone: nn.Module, name: str) -> dict[str, Tensor]:
    tensors = {
        key: value.detach()
        .to(device="cpu", dtype=torch.float32 if value.is_floating_point() else value.dtype)
        .contiguous(memory_format=torch.contiguous_format)
        for key, value in backbone.state_dict().items()
    }
    expected = {key: value.shape for key, value in skeleton(name, num_classes=0).state_dict().items()}
    if {key: value.shape for key, value in tensors.items()} != expected:
        odd = sorted(expected.keys() ^ tensors.keys()) or [k for k in expected if tensors[k].shape != expected[k]]
        raise ArtifactError(f"the backbone is not the stock {name}: {odd[0]} differs; nothing was written")
    return tensors


def _config(
    recipe: Recipe, backbone: nn.Module, *, sha256: str, digest: str, samples_seen: int | None
) -> dict[str, Any]:
    cfg = explicit_cfg(
        recipe.model.backbone,
        image_size=recipe.data.image_size,
        crop_pct=recipe.data.crop_pct,
        license=recipe.license,
    )
    return {
        "architecture": recipe.model.backbone,
        "num_classes": 0,
        "num_features": backbone.num_features,
        "pretrained_cfg": cfg,
        "ladder_hub": {
            "method": recipe.method,
            "levels": [{"stage": lv.stage, "loss": lv.loss, "weight": lv.weight} for lv in recipe.ladder],
            "recipe": recipe.name,
            "recipe_fingerprint": recipe.fingerprint(),
            "sha256": sha256,
            "digest": digest,
            "branch": "online",
            "samples_seen": samples_seen,
            "version": ladder_hub.__version__,
        },
    }


def _owned(entry: Metric, digest: str | None, folder: Path) -> Metric:
    if entry.get("weights") != digest:
        raise ArtifactError(
            f"{folder}: {plain(str(entry.get('protocol')))} was measured on other weights "
            f"({plain(str(entry.get('weights'))[:12])}…, here {plain(str(digest)[:12])}…)"
        )
    return entry


def _measured_before(folder: Path, digest: str) -> list[Metric]:
    """The figures of the artifact that stands in `folder`, where its weights are the same."""
    try:
        if read_config(folder)["ladder_hub"].get("digest") != digest:
            return []
        return [entry for entry in read_metrics(folder / "metrics.json", ArtifactError) if entry["weights"] == digest]
    except (UserError, OSError, TypeError, KeyError):
        # None there, or a damaged one: that is no reason to lose the new one.
        return []


def _read_table(path: Path) -> dict[str, Any]:
    """Of a JSON file; nothing where there is none."""
    if not path.is_file():
        return {}
    value = read_json(path, ArtifactError)
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: a table was expected")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@contextmanager
def _swapped_in(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`: it takes its place when the block ends well, and vanishes otherwise."""
    new, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    _put_back(folder, old)
    # What a killed run left half-written is in the way of this one.
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        _put_back(folder, old)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _put_back(folder: Path, old: Path) -> None:
    """Where nothing has taken the place of `old` (a kill or a failure between the two renames) it returns there."""
    if old.is_dir() and not folder.exists():
        old.rename(folder)
