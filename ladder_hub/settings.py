"""The grammar of settings: typed tables, and `key=value` overrides read as TOML.

Shared by recipes and by the verbs that take settings of their own; errors name the key and its nearest neighbour.
"""

import difflib
import json
import tomllib
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ladder_hub.errors import UserError


class SettingError(UserError):
    """A key that doesn't exist, or one that can't have this value."""


class Section(BaseModel):
    """A table of the recipe: unknown keys refused, no silent conversions, no infinities, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Section)


def validated(schema: type[Schema], keys: dict[str, Any], *, where: str = "") -> Schema:
    """`keys` as a `schema`; `where` (a file, say) goes before the message.

    Raises:
        SettingError: a key is unknown, missing, or can't have its value.
    """
    try:
        return schema.model_validate_json(json.dumps(keys, default=str))
    except ValidationError as error:
        raise SettingError(_explain(error, _known_keys(schema), where)) from None


def apply_override(keys: dict[str, Any], override: str, schema: type[Section]) -> None:
    """Set one `key=value` in a nested dict; the value is TOML, and what is not TOML is a bare word.

    Raises:
        SettingError: not key=value, a key that `schema` doesn't have, or a table where a value belongs.
    """
    known = _known_keys(schema)
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SettingError(f"{override!r} is not key=value")
    table = keys
    *parents, leaf = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise SettingError(f"{key}: {parent} is a value, not a table")
    if isinstance(table.get(leaf), dict):
        raise SettingError(f"{key} is a table; set one of its keys: {', '.join(f'{key}.{k}' for k in table[leaf])}")
    if leaf not in table and key not in known:
        raise SettingError(f"unknown key {key!r}{nearest(key, known)}")
    table[leaf] = _value(text)


def _value(text: str) -> Any:
    """A TOML value; what is not one is a bare word, hence a string."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


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
        return f"{at}unknown key {key!r}{nearest(key, known)}"
    if first["type"] == "missing":
        return f"{at}the key {key!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return message
    return f"{key}: {message[0].lower()}{message[1:]}, got {first['input']!r}"
