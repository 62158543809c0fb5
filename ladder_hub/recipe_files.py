"""Recipe files: TOML by name or path, `base = "name"` for what several share, `key=value` on top.

What is trained lies in `recipes/`; what is judged in a folder below it, one a verb of `eval` (`recipes/detect/`).
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from ladder_hub._shipped import shipped
from ladder_hub.documents import plain, read_text, shown
from ladder_hub.errors import UserError
from ladder_hub.settings import Section, apply_override, nearest, validated

Kind = Literal["", "linear", "detect", "segment", "sweeps"]
"""Which folder below `recipes/`: the training recipes' own, that of a verb of `eval`, or the grids of `sweep`."""
Schema = TypeVar("Schema", bound=Section)

_LONGEST_CHAIN = 16
_BASE_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)


class RecipeError(UserError):
    """A recipe that isn't there or can't be read."""


def descriptions(kind: Kind = "") -> dict[str, str]:
    """Every shipped recipe of a kind that can be run, sorted, and what it says of itself (`base.toml` is none)."""
    read = {path.stem: _read(path) for path in sorted((shipped("recipes") / kind).glob("*.toml"))}
    return {name: str(keys["description"]) for name, keys in read.items() if "description" in keys}


def names(kind: Kind = "") -> list[str]:
    """Every shipped recipe of a kind that can be run, sorted."""
    return list(descriptions(kind))


def load(schema: type[Schema], name: str, overrides: Sequence[str] = (), *, kind: Kind = "") -> Schema:
    """The recipe `name` (shipped, or the path of a TOML file) as a `schema`, with `key=value` overrides applied.

    The key `name` is the file's own where the file has none.

    Raises:
        RecipeError: no such recipe, or not TOML.
        SettingError: an unknown key, or a value that its key can't have; the message says what was expected.
    """
    path = _find(name, kind)
    keys = _inherit(path, kind, seen=())
    keys.setdefault("name", path.stem)
    for override in overrides:
        apply_override(keys, override, schema)
    return validated(schema, keys, where=str(path), overrides=overrides)


def _find(name: str, kind: Kind) -> Path:
    if name.endswith(".toml"):
        try:
            path = Path(name).expanduser()
            there = path.is_file()
        except (OSError, RuntimeError):  # a name too long, a folder that may not be entered, an unknown ~user
            there = False
        if not there:
            raise RecipeError(f"no recipe file at {plain(name)}")
        return path
    known = names(kind)
    if name not in known:
        raise RecipeError(f"no recipe {shown(name)}{nearest(name, known)}; `ladder-hub recipes` lists all")
    return shipped("recipes") / kind / f"{name}.toml"


def _read(path: Path) -> dict[str, Any]:
    text = read_text(path, RecipeError)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise RecipeError(f"{path} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # tomllib's own, and Python's for a number of thousands of digits
        raise RecipeError(f"{path} is not TOML: {error}") from None


def _inherit(path: Path, kind: Kind, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise RecipeError(f"{path}: `base` leads back to this file")
    if len(seen) >= _LONGEST_CHAIN:
        raise RecipeError(f"{path}: more than {_LONGEST_CHAIN} recipes build on each other through `base`")
    keys = _read(path)
    base = keys.pop("base", None)
    if base is None:
        return keys
    # A recipe reads nothing but its neighbours and ours, wherever it came from.
    if not isinstance(base, str) or not _BASE_NAME.fullmatch(base):
        raise RecipeError(f"{path}: base = {shown(base)} is no recipe's name; give it without folder and .toml")
    beside = path.parent / f"{base}.toml"
    source = beside if beside.is_file() else shipped("recipes") / kind / f"{base}.toml"
    if not source.is_file():
        raise RecipeError(f"{path}: base = {base!r} is neither beside it nor among the shipped recipes")
    return _merged(_inherit(source, kind, (*seen, path.resolve())), keys)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
