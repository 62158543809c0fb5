"""`ladder-hub info`: what a model is, from its own files, after they were verified."""

from typing import Any

from ladder_hub.artifact.reading import read_artifact
from ladder_hub.backbone import skeleton, stage_channels
from ladder_hub.card import data_name
from ladder_hub.documents import without_controls
from ladder_hub.models import create_model, is_zoo_name, resolve
from ladder_hub.registry import find


def describe(name: str) -> dict[str, Any]:
    """Facts for people and machines: `model` (key: value), `stages` (name, stride, channels), `metrics`.

    Args:
        name: whatever `create_model` takes. A name of the zoo without published weights is described too, by the
            command that would train it.

    Raises:
        UserError: no such model, or files that are not what they should be.
    """
    if is_zoo_name(name) and not find(name).published:
        entry = find(name)
        facts = {"name": entry.name, "network": entry.architecture, "weights": entry.status, "train it": entry.command}
        return {"model": facts, "stages": _stages(skeleton(entry.architecture)), "metrics": []}
    model: Any = create_model(name, pretrained=True)
    artifact = read_artifact(resolve(name))
    ours = artifact.config.get("ladder_hub", {})
    levels = ", ".join(f"{level['stage']}.{level['loss']} x {level['weight']:g}" for level in ours.get("levels", []))
    data = artifact.provenance.get("data")
    known = {
        "method": ours.get("method"),
        "imported": ours.get("imported"),
        "levels": levels,
        "recipe": ours.get("recipe"),
        "samples seen": ours.get("samples_seen"),
        "data": data_name(data) if data else "",
        "license": artifact.config.get("pretrained_cfg", {}).get("license"),
    }
    facts = model.load_receipt.facts() | {key: str(value) for key, value in known.items() if value}
    # They are shown on a terminal, which a file of somebody else's may not command.
    facts = {key: without_controls(value) for key, value in facts.items()}
    return {"model": facts, "stages": _stages(model), "metrics": artifact.metrics}


def _stages(model: Any) -> list[list[Any]]:
    return [[stage, 2 ** int(stage[-1]), channels] for stage, channels in stage_channels(model).items()]
