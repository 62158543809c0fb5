"""The model zoo's table, `zoo/index.toml`: which names exist, what trains them, which have weights.

Answers without torch and timm. A model is `name.tag`; the plain name means the tag `in1k_200e`, or the only one.
"""

import difflib
import fnmatch
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ladder_hub._shipped import shipped
from ladder_hub.documents import shown
from ladder_hub.errors import UserError

DEFAULT_TAG = "in1k_200e"
Status = Literal["recipe only", "published", "shipped"]


class ModelError(UserError):
    """A model that does not exist, has no published weights, or whose files are refused."""


@dataclass(frozen=True)
class Entry:
    """One model of the zoo."""

    name: str
    """`ladder_byol_r50.in1k_200e`"""
    architecture: str
    """timm's name of the network."""
    recipe: str
    """The shipped recipe that trains it, with `overrides` (`key=value`)."""
    status: Status
    """`recipe only`: nobody has published weights; `published`: on the Hub; `shipped`: beside their card, in `zoo/`."""
    overrides: tuple[str, ...] = ()
    repository: str = ""
    """On the Hub: `org/name`, at the commit `revision`. Shipped weights may lie there too."""
    revision: str = ""
    sha256: str = ""
    """Of model.safetensors, wherever it is had from."""
    license: str = ""
    """Of the weights: a Hub licence id."""

    @property
    def folder(self) -> Path:
        """Where the card, config, recipe and figures of a published model lie, and shipped weights beside them."""
        return shipped("zoo") / self.name

    @property
    def is_shipped(self) -> bool:
        """Whether the weights lie here."""
        return self.status == "shipped" and (self.folder / "model.safetensors").is_file()

    @property
    def published(self) -> bool:
        """Whether weights can be had."""
        return self.is_shipped or bool(self.repository)

    @property
    def command(self) -> str:
        """The command that trains it."""
        return " ".join(["ladder-hub train", f"recipe={self.recipe}", *self.overrides, "data.train=FOLDER"])


def entries() -> dict[str, Entry]:
    """Every model of the zoo by its full name, in natural order."""
    table = tomllib.loads((shipped("zoo") / "index.toml").read_text(encoding="utf-8"))
    return {name: _entry(name, table[name]) for name in sorted(table, key=_natural)}


def list_models(filter: str = "*", *, pretrained: bool = False) -> list[str]:
    """Names of the zoo that match `filter`, in natural order.

    Args:
        filter: A pattern as in timm: `ladder*`, `*r50*`. A plain name stands for all its tags.
        pretrained: Only models whose weights can be had.
    """
    found = entries()
    names = fnmatch.filter(found, filter)
    if "." not in filter:
        names += fnmatch.filter(found, f"{filter}.*")
    return sorted({name for name in names if found[name].published or not pretrained}, key=_natural)


def is_name(name: str) -> bool:
    """Whether a model of the zoo is called so, with its tag or without."""
    return any(name in (full, full.partition(".")[0]) for full in entries())


def find(name: str) -> Entry:
    """The entry of `name` or `name.tag`.

    Raises:
        ModelError: no such model; the message names the nearest.
    """
    found = entries()
    plain, dot, tag = name.partition(".")
    tags = [other.partition(".")[2] for other in found if other.startswith(f"{plain}.")]
    if not dot:
        tag = tags[0] if len(tags) == 1 else DEFAULT_TAG
    if tag in tags:
        return found[f"{plain}.{tag}"]
    if tags:
        raise ModelError(f"{plain} has no tag {shown(tag)}; it has {', '.join(tags)}")
    known = sorted({other.partition(".")[0] for other in found}, key=_natural)
    close = difflib.get_close_matches(plain, known, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "; `ladder-hub list` names all"
    raise ModelError(f"no model {shown(name)}{hint} (a folder or hf-hub:org/name is a model too)")


def _entry(name: str, keys: dict[str, Any]) -> Entry:
    return Entry(name, **{**keys, "overrides": tuple(keys.get("overrides", ()))})


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Digits compare as numbers: 100e before 1000e, r18 before r50."""
    parts = re.findall(r"\d+|\D+", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
