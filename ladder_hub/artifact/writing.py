"""Writing an artifact.

The network in it is stock, headless and float32, every field of its config is ours, and what we have to say
beyond timm's format stands under one root key, `ladder_hub` (an unknown key inside `pretrained_cfg` would
break timm).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ladder_hub
from ladder_hub.artifact.contents import as_json, owned
from ladder_hub.artifact.reading import HEADS, ArtifactError
from ladder_hub.artifact.swap import sole_writer, swapped_in
from ladder_hub.backbone import explicit_cfg, skeleton
from ladder_hub.card import render_card
from ladder_hub.curves import draw_curves
from ladder_hub.errors import UserError
from ladder_hub.imported_card import render_imported_card
from ladder_hub.metrics_file import Metric, merged, read_metrics
from ladder_hub.models import read_config
from ladder_hub.recipe import Recipe
from ladder_hub.weights import file_sha256, save_canonical, tensor_digest


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
    new_metrics = [owned({"weights": digest, **entry}, digest, folder) for entry in metrics]
    with sole_writer(folder), swapped_in(folder) as new:
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
            (new / f"{name}.json").write_text(as_json(value), encoding="utf-8")
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder), swapped_in(folder) as new:
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
            (new / f"{name}.json").write_text(as_json(value), encoding="utf-8")
        card = render_imported_card(config=config, provenance=facts, metrics=entries)
        (new / "README.md").write_text(card, encoding="utf-8")


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


def _measured_before(folder: Path, digest: str) -> list[Metric]:
    """The figures of the artifact that stands in `folder`, where its weights are the same."""
    try:
        if read_config(folder)["ladder_hub"].get("digest") != digest:
            return []
        return [entry for entry in read_metrics(folder / "metrics.json", ArtifactError) if entry["weights"] == digest]
    except (UserError, OSError, TypeError, KeyError):
        # None there, or a damaged one: that is no reason to lose the new one.
        return []
