"""The model card: Markdown for people, YAML front matter for the Hub.

Every figure on it comes from the recipe, from provenance.json or from metrics.json; nothing is claimed that
`eval` has not measured on exactly these weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ladder_hub.backbone import skeleton, stage_indices
from ladder_hub.documents import plain, without_controls
from ladder_hub.recipe import Recipe

_LOSSES = {"global": "global", "dense": "dense and global, their mean"}
_METRIC_TYPES = {"top1": "accuracy"}
# The Hub's tasks, by how a protocol's name begins; whatever reads frozen features is a classification.
_TASKS = {"det": "object-detection", "seg": "image-segmentation"}
NOT_STATED = "not stated"


def render_card(
    *,
    recipe: Recipe,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
) -> str:
    """The README.md of an artifact.

    Args:
        recipe: As it was run.
        config: The artifact's config.json.
        provenance: Its provenance.json.
        metrics: Its metrics.json, shares in [0, 1]; shown in percent with one decimal.
    """
    name = f"{recipe.name} ({config['architecture']})"
    sections = [
        f"# {name}",
        _introduction(recipe, config),
        _ladder(recipe),
        usage_section(config),
        results_section(metrics),
        _training(recipe, config, provenance),
        _origin(config, provenance),
        licenses_section(weights=recipe.license, images=_images_license(recipe, provenance)),
        _LIMITATIONS,
        _CITATION,
    ]
    front = front_matter(
        f"{recipe.name}.{config['architecture']}", license=recipe.license, tag=recipe.method, metrics=metrics
    )
    return f"---\n{front}\n---\n\n" + "\n\n".join(sections) + "\n"


def percent(share: float) -> str:
    """A share in [0, 1] as it stands on the card: 0.4321 is `43.2`."""
    return f"{100 * share:.1f}"


def data_name(fingerprint: Any) -> str:
    """A data fingerprint, for people: `val (5,000 images, 3f2a9c41)`."""
    if not isinstance(fingerprint, Mapping):
        return plain(str(fingerprint or "unknown")[:12])
    count, digest = (
        fingerprint.get("count"),
        plain(str(fingerprint.get("content") or fingerprint.get("digest") or "")[:8]),
    )
    facts = [f"{count:,} images" if isinstance(count, int) else "", digest]
    name = plain(str(fingerprint.get("name") or fingerprint.get("source") or "unnamed"))
    return f"{name} ({', '.join(fact for fact in facts if fact)})" if any(facts) else name


def front_matter(name: str, *, license: str, tag: str, metrics: Sequence[Mapping[str, Any]]) -> str:
    """The YAML of a card, without its fences; with a model-index of `name` where something was measured."""
    results = [_eval_result(entry) for entry in metrics]
    data = ModelCardData(
        library_name="timm",
        pipeline_tag="image-feature-extraction",
        license=license,
        tags=[
            "image-feature-extraction",
            "timm",
            "transformers",
            "self-supervised",
            "ladder-hub",
            tag,
        ],
        model_name=name,
        eval_results=results or None,
    )
    if not results:
        # Without results there is no model-index, and `model_name` would stay as a stray key.
        data.pop("model_name")
    return data.to_yaml()


def _eval_result(entry: Mapping[str, Any]) -> EvalResult:
    val = entry["data"]["val"]
    name = data_name(val)
    return EvalResult(
        task_type=_TASKS.get(entry["protocol"].partition(":")[0], "image-classification"),
        task_name=entry["protocol"],
        dataset_type=plain(str(val.get("name") or val.get("source"))) if isinstance(val, Mapping) else name,
        dataset_name=name,
        metric_type=_METRIC_TYPES.get(entry["metric"], entry["metric"]),
        metric_name=f"{entry['metric']} of {entry['stage']}",
        metric_value=float(percent(entry["value"])),
        metric_args={"protocol": entry["protocol"], "stage": entry["stage"], "n": entry["n"]},
    )


def _introduction(recipe: Recipe, config: Mapping[str, Any]) -> str:
    return (
        f"{recipe.description}.\n\n"
        f"A `{config['architecture']}` backbone trained without labels by ladder-hub: a Siamese network with "
        "a loss on the stages named below ([Ladder Siamese Network](https://arxiv.org/abs/2211.13844)). It "
        "has no classifier. It gives a feature pyramid for detection and segmentation, and pooled features "
        "for retrieval and probing. The weights are the online network's."
    )


def _ladder(recipe: Recipe) -> str:
    rows = [(lv.stage, str(2 ** int(lv.stage[3:])), _LOSSES[lv.loss], f"{lv.weight:g}") for lv in recipe.ladder]
    return f"## Method\n\n`{recipe.method}`\n\n" + table(("stage", "stride", "loss", "weight"), rows)


def usage_section(config: Mapping[str, Any]) -> str:
    """How to load the folder, with the indices of this network's maps."""
    indices = tuple(stage_indices(skeleton(config["architecture"]), config["architecture"]).values())
    return _USAGE.replace("OUT_INDICES", str(indices))


def results_section(metrics: Sequence[Mapping[str, Any]]) -> str:
    """The table of what was measured, or that nothing was."""
    if not metrics:
        return "## Results\n\nNone measured."
    columns = (
        "protocol",
        "stage",
        "metric",
        "%",
        "95 % interval",
        "images",
        "seeds",
        "before training",
        "data",
        "date",
    )
    return _RESULTS + table(columns, [_result_row(entry) for entry in metrics])


def _result_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    interval, baseline = entry.get("ci95"), entry.get("baseline")
    return (
        f"`{entry['protocol']}`",
        entry["stage"],
        entry["metric"],
        percent(entry["value"]),
        f"{percent(interval[0])} to {percent(interval[1])}" if interval else "not measured",
        str(entry["n"]) + (f", {entry['overlap']} of them in the training images" if entry.get("overlap") else ""),
        str(entry.get("seeds", 1)),
        percent(baseline) if baseline is not None else "not measured",
        data_name(entry["data"]["val"]),
        str(entry["date"]),
    )


def _training(recipe: Recipe, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    # Of the recipe as it was run: the published one, read again, may lack a path and so have another.
    fingerprint = str(config["ladder_hub"].get("recipe_fingerprint") or "not recorded")
    rows = [
        ("recipe", f"`{recipe.name}` (`recipe.toml`; fingerprint `{fingerprint[:12]}`)"),
        ("data", data_name(provenance.get("data"))),
        ("image size", f"{recipe.data.image_size} pixels"),
        ("samples seen", _count(provenance.get("samples_seen"))),
        ("epochs", _count(provenance.get("epochs"))),
        ("optimiser steps", _count(provenance.get("steps"))),
        ("batch size", f"{recipe.batch_size} as {provenance.get('batch') or 'not recorded'}"),
        ("learning rate", f"{recipe.learning_rate:g}"),
        ("seed", str(provenance.get("seed", recipe.seed))),
        ("device", str(provenance.get("device") or "not recorded")),
        ("wall time", _duration(provenance.get("wall_seconds"))),
    ]
    if isinstance(joules := provenance.get("joules"), int | float):
        rows.append(("energy", f"{joules / 3.6e6:.3g} kWh, by the counters of the devices"))
    return "## Training\n\n" + table(("", ""), rows) + "\n\n![Loss and collapse monitor of each level](curves.png)"


def _origin(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    known = provenance.get("versions")
    versions = ", ".join(f"{name} {version}" for name, version in known.items()) if isinstance(known, Mapping) else ""
    rows = [
        ("code", _code(provenance.get("commit"))),
        ("versions", versions or "not recorded"),
        ("command", f"`{provenance['command']}`" if provenance.get("command") else "not recorded"),
        ("sha256 of model.safetensors", f"`{config['ladder_hub'].get('sha256', 'not recorded')}`"),
        ("digest of the tensors", f"`{config['ladder_hub'].get('digest', 'not recorded')}`"),
    ]
    return "## Provenance\n\n" + table(("", ""), rows)


def _code(commit: Any) -> str:
    if not commit:
        return "not recorded"
    return f"`{commit}`" + (", the commit with changes on top" if str(commit).endswith("+") else "")


def licenses_section(*, weights: str, images: str) -> str:
    """Under which licence the code, the weights and the images that taught them stand; empty: not stated."""
    rows = [("code (ladder-hub)", "apache-2.0"), ("weights", weights), ("training images", images)]
    return "## Licences\n\n" + table(("of", "licence"), [(what, license or NOT_STATED) for what, license in rows])


def _images_license(recipe: Recipe, provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data")
    drawn = isinstance(data, Mapping) and data.get("source") == "shapes"
    return recipe.data.license or ("apache-2.0 (drawn by ladder-hub)" if drawn else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; no cell can break out of its place."""
    lines = [columns, ["---"] * len(columns), *rows]
    # A bar inside a cell (in a path, say) would start another column, a line break another row.
    cells = [[without_controls(cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _count(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int | float) else "not recorded"


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "not recorded"
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes // 60} h {minutes % 60} min"


_USAGE = """## Use

`FOLDER` is this folder; on the Hub it is `hf-hub:ORG/NAME` (for transformers `ORG/NAME`) instead of
`local-dir:FOLDER`.

As a pyramid (strides 4, 8, 16, 32), checked against the published digest before it is built:

```python
import ladder_hub

model = ladder_hub.create_model("local-dir:FOLDER", features_only=True)
print(model.load_receipt)
```

With timm alone:

```python
import timm

model = timm.create_model("local-dir:FOLDER", pretrained=True, features_only=True, out_indices=OUT_INDICES)
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)
```

With transformers:

```python
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained("FOLDER")
model = AutoModel.from_pretrained("FOLDER")
```

As an encoder of segmentation_models_pytorch:

```python
import segmentation_models_pytorch as smp

model = smp.FPN("tu-local-dir:FOLDER", encoder_weights=True, classes=21)
```"""

_RESULTS = """## Results

Measured by `ladder-hub eval` on these weights: `knn` and `linear` on what the frozen network gives, `seg` and `det`
after all of it was trained further. The interval is that of the finite set of images; another seed may lie outside.
*Before training* is the same network as this run began with it.

"""

_LIMITATIONS = """## Limitations

- The features follow the training images; on other kinds of images measure before relying on them.
- No labels were used: there is no classifier, and the network's biases are those of its data and crops.
- Figures are comparable only under the same protocol, data and image size.
- What is not in the table of results was not measured."""

_CITATION = """## Citation

```bibtex
@article{yoshihashi2022ladder,
  title   = {Ladder Siamese Network: a Method and Insights for Multi-level Self-Supervised Learning},
  author  = {Yoshihashi, Ryota and Nishimura, Shuhei and Yonebayashi, Dai and Otsuka, Yuya and Tanaka,
             Tomohiro and Miyazaki, Takashi},
  journal = {arXiv preprint arXiv:2211.13844},
  year    = {2022}
}
```"""
