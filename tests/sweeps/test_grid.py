"""Every shipped sweep resolves to recipes, on both scales; its paper rows are the paper's."""

import tomllib
from pathlib import Path

import pytest

from ladder_hub import paper
from ladder_hub._shipped import shipped
from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.recipe_files import names
from ladder_hub.siamese.levels import LEVELS, halving_weights
from ladder_hub.sweeps.cells import settings_of
from ladder_hub.sweeps.grid import load_sweep

SWEEPS = names("sweeps")
CELLS = {"table1": 6, "table4": 4, "table5": 7, "table6": 10, "table7": 2}
PRINTED = {"table1": 6, "table4": 4, "table5": 3, "table6": 4, "table7": 2}
"""How many of them have figures of the paper at hand."""


def test_all_sweeps_are_found() -> None:
    assert set(SWEEPS) == {path.stem for path in (shipped("recipes") / "sweeps").glob("*.toml")}
    assert {name: len(load_sweep(name).cells) for name in SWEEPS} == CELLS


@pytest.mark.parametrize("scale", ["tiny64", "in1k"])
@pytest.mark.parametrize("name", SWEEPS)
def test_every_cell_is_a_recipe_of_its_own(name: str, scale) -> None:
    sweep = load_sweep(name)
    found = settings_of(sweep, scale, ["data.train=images"])
    recipes = [setting.recipe("seed=3", "out=x") for setting in found]
    assert len({recipe.fingerprint() for recipe in recipes}) == len(recipes) == CELLS[name]
    assert [recipe.ladder for recipe in recipes] == [cell.ladder for cell in sweep.cells]
    assert {(recipe.seed, recipe.out) for recipe in recipes} == {(3, "x")}
    assert {recipe.model.backbone for recipe in recipes} == {"resnet50" if scale == "in1k" else "resnet18"}
    for recipe in recipes:
        assert (recipe.method in LEVELS) == (recipe.ladder in LEVELS.values())


@pytest.mark.parametrize("name", SWEEPS)
def test_the_papers_rows(name: str) -> None:
    sweep = load_sweep(name)
    rows = [row for cell in sweep.cells if (row := sweep.printed(cell))]
    assert len(rows) == PRINTED[name]
    known = paper.rows(sweep.table)
    assert all(row in known for row in rows)
    # What the paper prints of its own methods stands beside a cell.
    assert len([row for row in known if row.method in LEVELS]) == len(rows)


@pytest.mark.parametrize("name", ["table1", "table5", "table6"])
def test_on_the_papers_scale_cells_are_the_papers_runs(name: str) -> None:
    """`byol_double` of Table 1 is `byol_400e`, and so on: nothing is different but names."""
    sweep = load_sweep(name)
    compared = 0
    for setting in settings_of(sweep, "in1k", []):
        row, recipe = sweep.printed(setting.cell), setting.recipe()
        if row is None:
            continue
        assert recipe.epochs == row.epochs
        if recipe.method in LEVELS:
            assert recipe.fingerprint() == load_recipe(f"{row.method}_{row.epochs}e").fingerprint()
            compared += 1
    assert compared == {"table1": 6, "table5": 3, "table6": 2}[name]


def test_the_ladders_of_table_5() -> None:
    letters = ["".join(level.loss[0].upper() for level in cell.ladder) for cell in load_sweep("table5").cells]
    assert letters == ["G", "D", "GGGG", "DGGG", "DDGG", "DDDG", "DDDD"]
    stages = [[level.stage for level in cell.ladder] for cell in load_sweep("table5").cells]
    assert stages == [["res5"]] * 2 + [["res2", "res3", "res4", "res5"]] * 5
    weights = {tuple(level.weight for level in cell.ladder) for cell in load_sweep("table5").cells}
    assert weights == {(1.0,), (1 / 16, 1 / 8, 1 / 4, 1.0)}


def test_the_weights_of_table_6() -> None:
    cells = {cell.name: cell for cell in load_sweep("table6").cells}
    for end in ("", "_double"):
        for name, w in (("w1_4", 1 / 4), ("w1_2", 1 / 2), ("w1", 1.0)):
            assert [level.weight for level in cells[name + end].ladder] == [*halving_weights(3, w), 1.0]
        assert [level.weight for level in cells["equal" + end].ladder] == [1 / 8, 1 / 8, 1 / 8, 1.0]


def test_lengths_are_multiples_of_the_runs_epochs() -> None:
    def epochs(*keys: str) -> list[int]:
        return [setting.recipe().epochs for setting in settings_of(load_sweep("table1"), "tiny64", keys)]

    assert epochs() == [10, 10, 20, 20, 40, 40]
    assert epochs("epochs=100") == [50, 50, 100, 100, 200, 200]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["seed=3"], "seed is not taken by a sweep: its cells and seeds=[...] decide it"),
        (["levels=[]"], "levels is not taken by a sweep"),
        (["epoch=3"], "unknown key 'epoch'; did you mean epochs?"),
        (["epochs=1", "optim.warmup_epochs=0"], "table1: byol_half and byol are the same run with these keys"),
    ],
)
def test_refused_keys(keys: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        settings_of(load_sweep("table1"), "tiny64", keys)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('name = "a"\nlabel = "A"', "cells: a needs either a method or levels"),
        ('name = "a"\nlabel = "A"\nmethod = "byol"\nlevels = { res5 = "dense" }', "either a method or levels"),
        ('name = "a"\nlabel = "A"\nlevels = { res5 = "dense" }\nweights = [1.0, 1.0]', "as many weights as levels: 1"),
        ('name = "../a"\nlabel = "A"\nmethod = "byol"', "cells.1.name: string should match pattern"),
        ('name = "a"\nlabel = "A"\nmethod = "simclr"', "cells.1.method: input should be 'byol'"),
        ('name = "b"\nlabel = "A"\nmethod = "byol"', "cells: a name stands twice: b, b"),
    ],
)
def test_refused_cells(cell: str, message: str, tmp_path) -> None:
    text = 'description = "d"\ntitle = "t"\nepochs = 100\n[[cells]]\nname = "b"\nlabel = "B"\nmethod = "ladder_byol"\n'
    (tmp_path / "own.toml").write_text(f"{text}[[cells]]\n{cell}\n")
    with pytest.raises(UserError) as error:
        load_sweep(str(tmp_path / "own.toml"))
    assert message in str(error.value)


def test_a_papers_row_that_is_none_is_refused(tmp_path) -> None:
    text = 'description = "d"\ntitle = "t"\ntable = 1\nepochs = 100\n'
    text += '[[cells]]\nname = "a"\nlabel = "A"\nmethod = "byol"\npaper = { method = "byol" }\n'
    (tmp_path / "own.toml").write_text(text)
    sweep = load_sweep(str(tmp_path / "own.toml"))
    with pytest.raises(UserError, match="own: a: 3 rows of Table 1 are its `paper`, not 1"):
        sweep.printed(sweep.cells[0])


@pytest.mark.parametrize("scale", ["tiny64", "in1k"])
def test_the_grid_in_the_docs(scale, tmp_path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    slow, byol = (setting.recipe() for setting in settings_of(load_sweep(str(tmp_path / "mine.toml")), scale, []))
    assert (slow.optim.base_lr, slow.method, slow.epochs) == (2.0, "ladder_ggdd", 2 * byol.epochs)
    assert [level.weight for level in slow.ladder] == [*halving_weights(3), 1.0]


@pytest.mark.parametrize("name", SWEEPS)
def test_the_table_in_the_docs(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {CELLS[name]} |" in text


@pytest.mark.parametrize("name", SWEEPS)
def test_the_file_says_how_it_is_run(name: str) -> None:
    text = (shipped("recipes") / "sweeps" / f"{name}.toml").read_text()
    assert f"ladder-hub sweep {name} " in text.splitlines()[0]
    assert tomllib.loads(text)["table"] == int(name.removeprefix("table"))
