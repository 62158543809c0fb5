"""metrics.json of an artifact: measured figures, checked before anything shows them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ladder_hub.documents import read_json, shown
from ladder_hub.errors import UserError

Metric = dict[str, Any]
"""An entry, as `downstream.metrics.entry` makes it."""


def read_metrics(path: Path, failure: type[UserError]) -> list[Metric]:
    """The entries of a metrics.json; none where there is no such file.

    Args:
        path: The file.
        failure: What to raise.

    Raises:
        UserError: it is damaged, as `failure`.
    """
    if not path.is_file():
        return []
    entries = read_json(path, failure)
    if not isinstance(entries, list):
        raise failure(f"{path}: a list was expected")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise failure(f"{path}: entry {number} is no table")
        for key, (fits, what) in _METRIC_KEYS.items():
            if key not in entry and key in _OPTIONAL:
                continue
            if key not in entry or not fits(entry[key]):
                raise failure(f"{path}: entry {number}: {key} is no {what}: {shown(entry.get(key))}")
    return entries


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


# What the card and the command line show of an entry; more may stand in it.
_METRIC_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "protocol": (_is_word, "text"),
    "stage": (_is_word, "text"),
    "metric": (_is_word, "text"),
    "date": (_is_word, "text"),
    "weights": (_is_word, "text"),
    "value": (_is_share, "share from 0 to 1"),
    "baseline": (lambda value: value is None or _is_share(value), "share from 0 to 1"),
    "ci95": (
        lambda value: value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_share, value))),
        "pair of shares",
    ),
    "n": (_is_count, "count"),
    "seeds": (_is_count, "count"),
    "overlap": (lambda value: value is None or _is_count(value), "count"),
    "data": (lambda value: isinstance(value, dict) and "val" in value, "table with val"),
}
_OPTIONAL = {"baseline", "ci95", "overlap", "seeds"}


def merged(old: Sequence[Metric], new: Sequence[Metric]) -> list[Metric]:
    """Both, a new entry in place of the old one with the same protocol, stage, metric, data and weights.

    An old one that does not name its data by content gives way to one of the same listing.
    """
    named = {_key(entry, listed=True): _key(entry) for entry in new}
    kept = [(named.get(_key(entry), _key(entry)), entry) for entry in old]
    return list(dict([*kept, *((_key(entry), entry) for entry in new)]).values())


def names_content(entry: Metric) -> bool:
    """Whether an entry says by content, not by a listing, which images taught and which were asked."""
    data = entry["data"]
    return all(isinstance(part, dict) and part.get("content") for part in (data.get("train"), data["val"]))


def _key(entry: Metric, *, listed: bool = False) -> str:
    """What tells figures apart; with `listed` as if the data were not named by content."""
    parts = [entry.get(key) for key in ("protocol", "stage", "metric", "weights")]
    data = entry.get("data")
    if listed and isinstance(data, dict):
        data = {name: _listing(part) for name, part in data.items()}
    return json.dumps([*parts, data], sort_keys=True)


def _listing(part: Any) -> Any:
    return {key: value for key, value in part.items() if key != "content"} if isinstance(part, dict) else part
