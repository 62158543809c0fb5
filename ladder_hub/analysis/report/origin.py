"""Where each run comes from: code, versions, data, device, digests."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ladder_hub.analysis.pages.markup import Part, section, table, tag
from ladder_hub.analysis.report.overview import named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.card import data_name

_KEYS = {
    "commit": "code",
    "data": "training images",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
    "processes": "processes",
    "batch": "batch",
    "steps": "optimiser steps",
    "samples_seen": "samples seen",
    "bad_images": "images that could not be decoded",
    "command": "command",
    "weights_sha256": "sha256 of model.safetensors",
    "weights_digest": "digest of the tensors",
    "recipe_fingerprint": "fingerprint of the recipe",
}
_CODE = {"commit", "command", "weights_sha256", "weights_digest", "recipe_fingerprint"}


def origin(runs: Sequence[ReportedRun]) -> Element:
    """The section."""
    facts: list[Mapping[str, Any]] = [run.artifact.provenance if run.artifact else {} for run in runs]
    rows: list[list[Part]] = [[name, *(_told(key, each) for each in facts)] for key, name in _KEYS.items()]
    versions = [_versions(each) for each in facts]
    packages = dict.fromkeys(name for each in versions for name in each)
    rows += [[name, *(str(each.get(name, "not recorded")) for each in versions)] for name in packages]
    caption = "From provenance.json of each artifact; an unfinished run has none yet."
    return section("provenance", "Provenance", table(caption, ["", *map(named, runs)], rows))


def _versions(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    found = facts.get("versions")
    return found if isinstance(found, Mapping) else {}


def _told(key: str, facts: Mapping[str, Any]) -> Part:
    value = facts.get(key)
    if value is None:
        return "not recorded"
    if key == "data":
        return data_name(value)
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return tag("code", text) if key in _CODE else text
