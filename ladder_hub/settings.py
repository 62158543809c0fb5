"""The grammar of settings: typed tables, and `key=value` overrides read as TOML.

Shared by recipes and by the verbs that take settings of their own; errors name the key and its nearest neighbour.
"""

import datetime
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

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


def validated(schema: type[Schema], keys: dict[str, Any], *, where: str = "", overrides: Sequence[str] = ()) -> Schema:
    """`keys` as a `schema`; where a key can't have its value, its source goes before the message.

    Args:
        schema: What they should be.
        keys: Nested.
        where: Where they come from, a file say.
        overrides: `key=value` that were given on top of it.

    Raises:
        SettingError: a key is unknown, missing, or can't have its value.
    """
    _check_values(keys, where)
    try:
        return schema.model_validate_json(json.dumps(keys))
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        given = [text for text in overrides if key and f"{key}.".startswith(f"{text.partition('=')[0]}.")]
        source = f"given as {shown(given[-1])}" if given else where
        raise SettingError(_explain(error, _known_keys(schema), source)) from None


def settings_from(schema: type[Schema], overrides: Sequence[str]) -> Schema:
    """A verb's settings: the defaults, and `key=value` over them.

    Raises:
        SettingError: as `apply_override` and `validated`.
    """
    keys: dict[str, Any] = {}
    for override in overrides:
        apply_override(keys, override, schema)
    return validated(schema, keys, overrides=overrides)


def setting(key: str, value: Any) -> str:
    """`key=value` as `apply_override` reads it: any text, number, truth value or list of them."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def apply_override(keys: dict[str, Any], override: str, schema: type[Section]) -> None:
    """Set one `key=value` in a nested dict.

    The value is TOML of the kind that the key takes, else a bare word: `out=7` is a folder, `seed=7` a number.

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
    table[leaf] = _value(text, schema, key)


def _value(text: str, schema: type[Section], key: str) -> Any:
    """A TOML value; what is not one is a bare word, hence a string, and so is one that only as text suits its key."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = parsed["value"]
    if len(parsed) > 1 or isinstance(value, _DATES):
        return text
    if isinstance(value, str) or depth(value) > _DEPTH or _suits(value, schema, key) or not _suits(text, schema, key):
        return value
    return text


def _suits(value: Any, schema: type[Section], key: str) -> bool:
    """Whether a key may have this value, as far as its own type says."""
    field, _, inner = key.partition(".")
    info = schema.model_fields.get(field)
    if info is None:
        return True
    nested = info.annotation
    if inner and isinstance(nested, type) and issubclass(nested, Section):
        return _suits(value, nested, inner)
    try:
        kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


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
