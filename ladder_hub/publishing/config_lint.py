"""An artifact's config: nothing unknown, nothing left to timm's defaults, nothing else than its recipe says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ladder_hub.artifact.reading import Artifact, load_heads
from ladder_hub.backbone import explicit_cfg, skeleton
from ladder_hub.config import WEIGHTS
from ladder_hub.documents import plain, shown
from ladder_hub.receipt import verify_weights
from ladder_hub.recipe import Recipe

_ROOT = {"architecture", "ladder_hub", "model_args", "num_classes", "num_features", "pretrained_cfg"}
_OURS = {
    *("branch", "digest", "heads_sha256", "levels", "method", "recipe", "recipe_fingerprint", "samples_seen", "sha256"),
    *("imported", "version"),
}


def key_problems(artifact: Artifact) -> Iterator[str]:
    """Keys that nobody reads, and fields that timm would take from the architecture's default weights."""
    config = artifact.config
    facts = config["pretrained_cfg"]
    wanted = explicit_cfg(artifact.architecture, image_size=224, crop_pct=1.0, license="").keys()
    tables = (("", config, _ROOT), ("pretrained_cfg.", facts, wanted), ("ladder_hub.", config["ladder_hub"], _OURS))
    for prefix, table, known in tables:
        for key in sorted(table.keys() - known):
            yield f"unknown key {plain(prefix + key)}"
    for key in sorted(wanted - facts.keys()):
        yield f"pretrained_cfg lacks {key}: timm would inherit it from other weights of {artifact.architecture}"
    if config["model_args"]:
        yield "model_args is not empty; transformers can't load such a model"


def digest_problems(artifact: Artifact) -> Iterator[str]:
    """Names, shapes and digests of the weights and of the heads; raises what `verify_weights` raises."""
    ours = artifact.config["ladder_hub"]
    for key in ("sha256", "digest"):
        if not ours.get(key):
            yield f"ladder_hub.{key} is missing: nobody could check the weights"
    verify_weights(artifact.folder / WEIGHTS, artifact.config)
    heads = load_heads(artifact.folder)
    if (heads is not None) != ("heads_sha256" in ours):
        yield "ladder_heads.safetensors and ladder_hub.heads_sha256 must both be there, or neither"


def recipe_problems(artifact: Artifact, recipe: Recipe) -> Iterator[str]:
    """What the config says of the training, beside the recipe and the provenance."""
    for name, found, said in _pairs(artifact, recipe):
        if found != said:
            yield f"{name} is {shown(found)}, by recipe.toml and provenance.json it should be {shown(said)}"


def _pairs(artifact: Artifact, recipe: Recipe) -> Iterator[tuple[str, Any, Any]]:
    config, ours = artifact.config, artifact.config["ladder_hub"]
    yield "architecture", artifact.architecture, recipe.model.backbone
    yield "num_classes", config.get("num_classes"), 0
    yield "num_features", config.get("num_features"), skeleton(recipe.model.backbone, num_classes=0).num_features
    facts = explicit_cfg(
        recipe.model.backbone,
        image_size=recipe.data.image_size,
        crop_pct=recipe.data.crop_pct,
        license=recipe.license,
    )
    facts = json.loads(json.dumps(facts))
    for key in sorted(facts.keys() & config["pretrained_cfg"].keys()):
        yield f"pretrained_cfg.{key}", config["pretrained_cfg"][key], facts[key]
    levels = [{"stage": level.stage, "loss": level.loss, "weight": level.weight} for level in recipe.ladder]
    yield "ladder_hub.levels", ours.get("levels"), levels
    yield "ladder_hub.method", ours.get("method"), recipe.method
    yield "ladder_hub.recipe", ours.get("recipe"), recipe.name
    yield "ladder_hub.branch", ours.get("branch"), "online"
    yield from _recorded(ours, artifact.provenance)


def _recorded(ours: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key, name in (("sha256", "weights_sha256"), ("digest", "weights_digest")):
        yield f"ladder_hub.{key}", ours.get(key), provenance.get(name)
    for key in ("recipe_fingerprint", "samples_seen"):
        yield f"ladder_hub.{key}", ours.get(key), provenance.get(key)
