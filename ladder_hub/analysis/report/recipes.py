"""The recipes: whole, against the shipped recipe that each comes from, and against each other."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element

from ladder_hub.analysis.pages.markup import Part, note, section, table, tag
from ladder_hub.analysis.report.overview import named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.documents import shown
from ladder_hub.recipe import Recipe, load_recipe, recipe_names

# A run's place and name are in the overview; what it says of itself is its base's.
_OWN = {"name", "description", "out", "views.preview"}


def recipes(runs: Sequence[ReportedRun]) -> Element:
    """The section."""
    parts: list[Part] = []
    if len(runs) > 1:
        parts += [tag("h3", "Between the runs"), _between(runs)]
    parts.append(tag("h3", "Against the shipped recipes"))
    parts.append(tag("div", *map(_own, runs), class_="beside"))
    return section("recipes", "Recipes", *parts)


def _own(run: ReportedRun) -> Element:
    """What differs from its base, and the whole."""
    whole = tag("pre", tag("code", run.recipe.published().to_toml()), tabindex="0")
    unfolded = tag("details", tag("summary", f"The whole recipe of {run.name}"), whole)
    return tag("div", tag("h4", named(run)), _against_base(run), unfolded)


def base_of(recipe: Recipe) -> tuple[str, Recipe]:
    """The shipped recipe of this name; where none has it, the one with the fewest other values."""
    known = _shipped()
    if recipe.name in known:
        return recipe.name, known[recipe.name]
    name = min(known, key=lambda name: len(differences(known[name], recipe)))
    return name, known[name]


def differences(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    """{key: (before, after)} of what decides a run or describes its machine; places without their folders."""
    old, new = before.published().dotted(), after.published().dotted()
    return {key: (old[key], new[key]) for key in old if old[key] != new[key] and key not in _OWN}


def _between(runs: Sequence[ReportedRun]) -> Element:
    dotted = [run.recipe.published().dotted() for run in runs]
    odd = [key for key in dotted[0] if key not in _OWN and any(keys[key] != dotted[0][key] for keys in dotted)]
    if not odd:
        return note("The recipes are the same, key by key.")
    rows: list[list[Part]] = [[tag("code", key), *(_value(keys, key) for keys in dotted)] for key in odd]
    return table(f"Where the runs differ: {_keys(len(odd))}", ["key", *map(named, runs)], rows)


def _against_base(run: ReportedRun) -> Element:
    name, base = base_of(run.recipe)
    found = differences(base, run.recipe)
    if not found:
        return note(f"As {name} is shipped.")
    rows: list[list[Part]] = [
        [tag("code", key), shown_value(old), shown_value(new)] for key, (old, new) in found.items()
    ]
    nearest = "" if name == run.recipe.name else ", the shipped recipe that is nearest to it"
    return table(f"Where it differs from {name}{nearest}: {_keys(len(found))}", ["key", name, run.name], rows)


def shown_value(value: Any) -> str:
    """As the recipe has it; levels in words."""
    if value == "":
        return "(empty)"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return ", ".join(f"{level['stage']} {level['loss']} x {level['weight']:g}" for level in value)
    return value if isinstance(value, str) else shown(value)


def _value(keys: Mapping[str, Any], key: str) -> str:
    return shown_value(keys[key])


def _keys(count: int) -> str:
    return f"{count} key{'' if count == 1 else 's'}"


@cache
def _shipped() -> dict[str, Recipe]:
    return {name: load_recipe(name) for name in recipe_names()}
