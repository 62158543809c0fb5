"""The card of weights that were trained elsewhere and imported: where they come from, and that nothing is claimed."""

from collections.abc import Mapping, Sequence
from typing import Any

from ladder_hub.card import front_matter, results_section, table, usage_section
from ladder_hub.documents import without_controls


def render_imported_card(
    *, config: Mapping[str, Any], provenance: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> str:
    """The README.md of an imported artifact.

    Args:
        config: Its config.json.
        provenance: Its provenance.json, with the table `imported` (see `formats.importing`).
        metrics: What `eval` measured here; figures that others published do not stand on it.
    """
    origin: Mapping[str, Any] = provenance["imported"]
    title, network = str(origin.get("title")), config["architecture"]
    sections = [
        f"# {network} from {title}",
        f"**Imported, not trained here.** A `{network}` backbone taken from a checkpoint of {title} by ladder-hub: the "
        f"{origin.get('branch')} network, without classifier and heads. No figure that its authors publish is claimed "
        "for it; what stands under Results was measured on these weights with ladder-hub.",
        *([f"**Mind:** {origin['warning']}"] if origin.get("warning") else []),
        usage_section(config),
        results_section(metrics),
        "## Provenance\n\n" + table(("", ""), _rows(config, origin)),
        _LIMITATIONS,
    ]
    front = front_matter(
        f"{origin.get('layout')}.{network}",
        license=str(origin.get("license") or "unknown"),
        tag="imported",
        metrics=metrics,
    )
    return f"---\n{front}\n---\n\n" + _printed("\n\n".join(sections)) + "\n"


def _printed(text: str) -> str:
    # Words of somebody else's file may break no line and turn no writing around.
    return "\n".join(without_controls(line) for line in text.split("\n"))


def _rows(config: Mapping[str, Any], origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = origin.get("dropped")
    dropped = counts if isinstance(counts, Mapping) else {}
    same = ", ".join(map(str, origin.get("also") or ()))
    return [
        ("file", f"`{origin.get('file')}`"),
        ("sha256 of the file", f"`{origin.get('sha256')}`"),
        ("layout", f"`{origin.get('layout')}`" + (f" (the same names: {same})" if same else "")),
        ("project", str(origin.get("source") or "not known")),
        ("branch", str(origin.get("branch"))),
        ("licence of the weights", f"{origin.get('license')} (stated by {origin.get('license_stated_by')})"),
        ("tensors taken", str(origin.get("taken"))),
        ("tensors dropped", ", ".join(f"{group} {count}" for group, count in dropped.items()) or "none"),
        ("counters set to 0", str(origin.get("filled"))),
        ("sha256 of model.safetensors", f"`{config['ladder_hub'].get('sha256', 'not recorded')}`"),
        ("digest of the tensors", f"`{config['ladder_hub'].get('digest', 'not recorded')}`"),
    ]


_LIMITATIONS = """## Limitations

- How these weights were trained, on which data and under which terms, their project says, not this card.
- An unknown licence is no permission: ask before you pass them on.
- Figures are comparable only under the same protocol, data and image size.
- What is not in the table of results was not measured."""
