"""A card: what the Hub reads of it is valid, and every figure on it was measured on these weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from ladder_hub.artifact.reading import Artifact
from ladder_hub.card import NOT_STATED, percent
from ladder_hub.documents import plain, read_text, shown
from ladder_hub.errors import UserError
from ladder_hub.publishing.markdown import prose, sections, tables

_FROM_OTHER_FILES = ("Method", "Training", "Provenance")  # sections whose numbers are the recipe's and the provenance's
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_MEASURE = re.compile(r"%|top.?[15]|accuracy|\bm?ap\b|miou", re.IGNORECASE)


def read_card(artifact: Artifact) -> str:
    """The text of README.md; the `UserError` says why it can't be read."""
    return read_text(artifact.folder / "README.md", UserError)


def front_matter_problems(card: str, artifact: Artifact) -> Iterator[str]:
    """The YAML that the Hub files a model by, and its model-index against metrics.json."""
    try:
        data: Any = ModelCard(card, ignore_metadata_errors=False).data
    except Exception as error:  # whatever a reader of YAML or of a model-index trips over
        words = str(error).strip()
        reason = words.splitlines()[0] if words else type(error).__name__
        yield f"README.md: its front matter is not what the Hub reads: {plain(reason)}"
        return
    license = artifact.config["pretrained_cfg"].get("license")
    wanted = {"library_name": "timm", "pipeline_tag": "image-feature-extraction", "license": license}
    for key, value in wanted.items():
        if getattr(data, key, None) != value:
            yield f"README.md: {key} is {shown(getattr(data, key, None))}, it should be {shown(value)}"
    for result in data.eval_results or []:
        yield from _result_problems(result, artifact.metrics)


def figure_problems(card: str, artifact: Artifact) -> Iterator[str]:
    """Every number of the results, and every percentage anywhere, stands in metrics.json.

    The paper's own figures may stand in columns that say so in their heading.
    """
    digest = artifact.config["ladder_hub"].get("digest")
    for entry in artifact.metrics:
        if entry["weights"] != digest:
            yield f"metrics.json: {plain(entry['protocol'])} of {plain(entry['stage'])} is of other weights"
    known = {figure for entry in artifact.metrics for figure in _shares(entry)}
    for heading, text in sections(card).items():
        if heading in _FROM_OTHER_FILES:
            continue
        for header, rows in tables(text):
            for row in rows:
                yield from _row_problems(heading, header, row, artifact.metrics, known)
        for figure in _SHARE.findall(prose(text)):
            if figure not in known:
                yield f"README.md: {figure} % under {plain(heading)!r} is not in metrics.json"


def license_problems(card: str, artifact: Artifact) -> Iterator[str]:
    """Code, weights and images each have their licence on the card; imported weights have theirs."""
    if not artifact.recipe:
        license = artifact.config["pretrained_cfg"].get("license")
        if license in (None, "", "unknown", "other"):
            yield "the licence of the imported weights is not known; ask their authors before you publish them"
        return
    text = sections(card).get("Licences", "")
    stated = {row[0]: row[1] for _, rows in tables(text) for row in rows if len(row) == 2}
    for what in ("code (ladder-hub)", "weights", "training images"):
        if stated.get(what, NOT_STATED) in ("", NOT_STATED):
            hint = "; state it: data.license=ID" if what == "training images" else ""
            yield f"README.md: no licence of the {what} is stated{hint}"


def _result_problems(result: EvalResult, metrics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    args = result.metric_args or {}
    name = f"README.md: model-index: {plain(str(result.metric_name))} = {shown(result.metric_value)}"
    if result.source_url or result.source_name:
        yield f"{name} names a source: a figure of somebody else's is no result of these weights"
    same = [entry for entry in metrics if all(args.get(key) == entry[key] for key in ("protocol", "stage", "n"))]
    if str(result.metric_value) not in [percent(entry["value"]) for entry in same]:
        yield f"{name} is not in metrics.json"


def _row_problems(
    heading: str,
    header: Sequence[str],
    row: Sequence[str],
    metrics: Sequence[Mapping[str, Any]],
    known: set[str],
) -> Iterator[str]:
    cells = {title: cell for title, cell in zip(header, row, strict=False) if "paper" not in title.lower()}
    where = f"README.md: under {plain(heading)!r}"
    if {"protocol", "stage", "metric"} <= cells.keys():
        key = [cells.pop(name).strip("`") for name in ("protocol", "stage", "metric")]
        same = [entry for entry in metrics if [entry["protocol"], entry["stage"], entry["metric"]] == key]
        counts = {str(entry[name]) for entry in same for name in ("n", "seeds", "overlap") if name in entry} | {"1"}
        known = {figure for entry in same for figure in _shares(entry)} | counts
        for title in ("data", "date"):
            cells.pop(title, None)
        if not same:
            yield f"{where}: {plain(' '.join(key))} is not in metrics.json"
            return
    else:
        cells = {title: cell for title, cell in cells.items() if _MEASURE.search(title) or "%" in cell}
    for title, cell in cells.items():
        for figure in _FIGURE.findall(cell):
            if figure not in known:
                yield f"{where}: {figure} in the column {plain(title)!r} is not in metrics.json"


def _shares(entry: Mapping[str, Any]) -> set[str]:
    shares = [entry["value"], entry.get("baseline"), *(entry.get("ci95") or ())]
    return {percent(share) for share in shares if share is not None}
