"""The grammar of settings: typed tables, and `key=value` overrides read as TOML.

Shared by recipes and by the verbs that take settings of their own; errors name the key and its nearest neighbour.
"""

import datetime
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from ladder_hub.documents import depth, has_controls, plain, shown
from ladder_hub.errors import UserError

_DEPTH = 8
_LONGEST = 400
_INTEGERS = range(-(2**63), 2**63)  # what TOML lets a number be
_DATES = (datetime.date, datetime.time)
_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")


class SettingError(UserError):
    """A key that doesn't exist, or one that can't have this value."""


class Section(BaseModel):
    """A table of the recipe: unknown keys refused, no silent conversions, no infinities, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def to_toml(self) -> str:
        """As a file; read back it is equal."""
        return tomli_w.dumps(json.loads(self.model_dump_json()))

    def dotted(self) -> dict[str, Any]:
        """Every key with its value as JSON has it, nested ones dotted as an override names them."""
        flat: dict[str, Any] = {}
        for key, value in json.loads(self.model_dump_json()).items():
            flat |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
        return flat


Schema = TypeVar("Schema", bound=Section)


def validated(schema: type[Schema], keys: dict[str, Any], *, where: str = "") -> Schema:
    """`keys` as a `schema`; `where` (a file, say) goes before the message.

    Raises:
        SettingError: a key is unknown, missing, or can't have its value.
    """
    _check_values(keys, where)
    try:
        return schema.model_validate_json(json.dumps(keys))
    except ValidationError as error:
        raise SettingError(_explain(error, _known_keys(schema), where)) from None


def settings_from(schema: type[Schema], overrides: Sequence[str]) -> Schema:
    """A verb's settings: the defaults, and `key=value` over them.

    Raises:
        SettingError: as `apply_override` and `validated`.
    """
    keys: dict[str, Any] = {}
    for override in overrides:
        apply_override(keys, override, schema)
    return validated(schema, keys)


def apply_override(keys: dict[str, Any], override: str, schema: type[Section]) -> None:
    """Set one `key=value` in a nested dict; the value is TOML, and what is not TOML is a bare word.

    Raises:
        SettingError: not key=value, a key that `schema` doesn't have, or a table where a value belongs.
    """
    known = _known_keys(schema)
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SettingError(f"{shown(override)} is not key=value")
    if not _KEY.fullmatch(key):
        raise SettingError(f"unknown key {shown(key)}{nearest(key, known)}")
    table = keys
    *parents, leaf = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise SettingError(f"{plain(key)}: {plain(parent)} is a value, not a table")
    inner = [name for name in known if name.startswith(f"{key}.")]
    if inner and isinstance(table.get(leaf), dict):
        raise SettingError(f"{key} is a table; set one of its keys: {', '.join(inner)}")
    if leaf not in table and key not in known:
        raise SettingError(f"unknown key {shown(key)}{nearest(key, known)}")
    table[leaf] = _value(text)


def _value(text: str) -> Any:
    """A TOML value; what is not one is a bare word, hence a string; so is a date, which no key takes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = parsed["value"]
    return text if len(parsed) > 1 or isinstance(value, _DATES) else value


def _check_values(keys: dict[str, Any], where: str) -> None:
    """Refuse what TOML can say and no key of ours means: dates, huge numbers, control characters, deep nesting."""
    at = f"{where}: " if where else ""
    if depth(keys) > _DEPTH:
        raise SettingError(f"{at}tables or lists are nested more than {_DEPTH} deep")
    for key, value in _leaves(keys, ""):
        if isinstance(value, _DATES):
            raise SettingError(f"{at}{plain(key)}: a date or a time is no value here; put it in quotes")
        if isinstance(value, int) and value not in _INTEGERS:
            raise SettingError(f"{at}{plain(key)}: {shown(value)} is beyond 64 bits")
        if isinstance(value, str) and has_controls(value):
            raise SettingError(f"{at}{plain(key)}: a line break or control character, got {shown(value)}")


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in parts:
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _known_keys(schema: type[Section]) -> list[str]:
    keys = []
    for name, field in schema.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        keys += [f"{name}.{inner}" for inner in nested] if nested else [name]
    return keys


def nearest(word: str, known: Sequence[str]) -> str:
    """`; did you mean ...?` for the most similar of `known`, or nothing where none is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    # A misspelt leaf is often right but for its table: `image_size` for `data.image_size`.
    close = close or [key for key in known if key.rpartition(".")[2] == word.rpartition(".")[2]]
    return f"; did you mean {close[0]}?" if close else ""


def _explain(error: ValidationError, known: list[str], where: str) -> str:
    first = error.errors()[0]
    at = f"{where}: " if where else ""
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{at}unknown key {shown(key)}{nearest(key, known)}"
    if first["type"] == "missing":
        return f"{at}the key {key!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return at + (message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…")
    return f"{at}{key}: {message[0].lower()}{message[1:]}, got {shown(first['input'])}"
