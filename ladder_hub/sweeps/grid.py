"""`recipes/sweeps/*.toml`: the cells of a table."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ladder_hub import paper
from ladder_hub.errors import UserError
from ladder_hub.recipe_files import load
from ladder_hub.settings import Section
from ladder_hub.siamese.levels import LEVELS, Level, Loss, Stage, halving_weights

Method = Literal["byol", "dense_byol", "ladder_byol", "ladder_dense"]
Positive = Annotated[float, Field(gt=0)]


class PaperRow(Section):
    """`paper = {...}`: which row of the paper's table stands beside a cell; what is left out is not compared."""

    method: str
    epochs: int | None = None
    weights: tuple[float, ...] | None = None
    """Of the levels below res5, lowest first."""


class Cell(Section):
    """`[[cells]]`: a row of the table."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$")]
    """Its folder."""
    label: Annotated[str, Field(min_length=1)]
    """What the table calls it."""
    method: Method | None = None
    """One of the four methods; else `levels`."""
    levels: dict[Stage, Loss] = Field(default_factory=dict)
    weights: tuple[Positive, ...] = ()
    """One a level, lowest stage first; none: by halving, 1 on the last (Eq. 6 with w = 1/2)."""
    length: Positive = 1.0
    """Epochs, as a multiple of the scale's own."""
    overrides: tuple[str, ...] = ()
    """More keys of its recipe, `key=value`."""
    paper: PaperRow | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method is None) == (not self.levels):
            raise ValueError(f"cells: {self.name} needs either a method or levels")
        if self.weights and len(self.weights) != len(self.levels):
            raise ValueError(f"cells: {self.name} needs as many weights as levels: {len(self.levels)}")
        return self

    @property
    def ladder(self) -> tuple[Level, ...]:
        """The levels, lowest stage first."""
        if self.method:
            return LEVELS[self.method]
        stages = sorted(self.levels)
        weights = self.weights or (*halving_weights(len(stages) - 1), 1.0)
        return tuple(Level(s, self.levels[s], weight) for s, weight in zip(stages, weights, strict=True))


class Sweep(Section):
    """A table: its cells, and where the paper prints it."""

    name: str
    description: str
    title: str
    table: int | None = None
    """Number of the paper's table; None: not the paper's."""
    epochs: Literal[100, 200, 400]
    """The paper's length that `length = 1` stands for; on `in1k` it is this one."""
    cells: Annotated[tuple[Cell, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [cell.name for cell in self.cells]
        if len(set(names)) < len(names):
            raise ValueError(f"cells: a name stands twice: {', '.join(names)}")
        return self

    def printed(self, cell: Cell) -> paper.Row | None:
        """The paper's row beside a cell, if the paper (as far as it is at hand) has one.

        Raises:
            UserError: `paper` names no row, or several.
        """
        if cell.paper is None or self.table is None:
            return None
        wanted = cell.paper
        found = [
            row
            for row in paper.rows(self.table)
            if row.method == wanted.method
            and (wanted.epochs is None or row.epochs == wanted.epochs)
            and (wanted.weights is None or row.weights == wanted.weights)
        ]
        if len(found) != 1:
            raise UserError(f"{self.name}: {cell.name}: {len(found)} rows of Table {self.table} are its `paper`, not 1")
        return found[0]


def load_sweep(name: str) -> Sweep:
    """The sweep `name`: shipped, or the path of a TOML file.

    Raises:
        UserError: no such sweep, or what stands in it is wrong.
    """
    return load(Sweep, name, kind="sweeps")
