"""The recipe that a cell is on a scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.settings import setting
from ladder_hub.siamese.levels import LEVELS, Level
from ladder_hub.sweeps.grid import Cell, Sweep

Scale = Literal["tiny64", "in1k"]

_ITS_OWN = ("description", "levels", "method", "name", "recipe", "resume", "seed")
"""What the grid says of each run, and the command line can't say of all."""


@dataclass(frozen=True)
class Setting:
    """What a cell trains on a scale."""

    cell: Cell
    base: str
    """Name of the shipped recipe that it builds on."""
    overrides: tuple[str, ...]
    """What is different from it, `key=value`."""

    def recipe(self, *more: str) -> Recipe:
        """The recipe, with more overrides.

        Raises:
            UserError: a key is unknown or can't have its value.
        """
        return load_recipe(self.base, [*self.overrides, *more])


def settings_of(sweep: Sweep, scale: Scale, overrides: Sequence[str]) -> list[Setting]:
    """Every cell as a recipe, in the table's order.

    Args:
        sweep: The table.
        scale: `in1k`: the paper's own recipes, `<method>_<epochs>e`; `tiny64`: `tiny64_<method>`.
        overrides: `key=value` for all of them; `epochs` is that of `length = 1`.

    Raises:
        UserError: a key is unknown, is the grid's own, or two cells are the same run.
    """
    for word in overrides:
        key = word.partition("=")[0]
        if key in _ITS_OWN:
            raise UserError(f"{key} is not taken by a sweep: its cells and seeds=[...] decide it")
    found = [_setting(sweep, cell, scale, overrides) for cell in sweep.cells]
    seen: dict[str, str] = {}
    for each in found:
        twin = seen.setdefault(each.recipe().fingerprint(), each.cell.name)
        if twin != each.cell.name:
            raise UserError(f"{sweep.name}: {twin} and {each.cell.name} are the same run with these keys")
    return found


def _setting(sweep: Sweep, cell: Cell, scale: Scale, overrides: Sequence[str]) -> Setting:
    method = next((name for name, levels in LEVELS.items() if levels == cell.ladder), None)
    base = f"tiny64_{method or 'ladder_byol'}" if scale == "tiny64" else f"{method or 'ladder_byol'}_{sweep.epochs}e"
    epochs = max(1, round(load_recipe(base, overrides).epochs * cell.length))
    own = {"name": f"{sweep.name}_{cell.name}", "description": f"{cell.label} ({sweep.title})"}
    words = [*overrides, *cell.overrides, f"epochs={epochs}", *(setting(key, text) for key, text in own.items())]
    if method is None:
        words += [f"method={_letters(cell.ladder)}", f"levels={_inline(cell.ladder)}"]
    return Setting(cell, base, tuple(words))


def _letters(ladder: Sequence[Level]) -> str:
    """`ladder_dggg`: a method's name for a ladder that is none of the four, the paper's letters, lowest stage first."""
    return "ladder_" + "".join(level.loss[0] for level in ladder)


def _inline(ladder: Sequence[Level]) -> str:
    """Levels as one line of TOML."""
    tables: list[dict[str, Any]] = [{"stage": lv.stage, "loss": lv.loss, "weight": lv.weight} for lv in ladder]
    rows = [", ".join(setting(key, value) for key, value in table.items()) for table in tables]
    return "[" + ", ".join(f"{{ {row} }}" for row in rows) + "]"
