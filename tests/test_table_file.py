"""A sweep's table read again: the one that is shipped, and every way in which one may be wrong."""

import copy
import json
import statistics
from typing import Any

import pytest

from ladder_hub._shipped import shipped
from ladder_hub.errors import UserError
from ladder_hub.table_file import read_table_file

COLUMN = {"protocol": "knn:k20", "stage": "res5", "metric": "top1", "n": 9, "data": {"val": {"name": "val.tar"}}}
VALUE = {"by_seed": {"0": 0.25, "1": 0.5}, "ci95": {"0": [0.1, 0.4], "1": None}, "more": "is not looked at"}
ROW = {"name": "byol", "method": "byol", "epochs": 5, "figures": [VALUE], "runs": [{"hours": 0.5, "device": "cpu"}]}
TABLE: dict[str, Any] = {"columns": [COLUMN], "rows": [ROW]}


def test_every_shipped_table_can_be_read():
    paths = sorted((shipped("zoo") / "runs").glob("*.json"))
    assert len(paths) >= 1
    for path in paths:
        table, raw = read_table_file(path, UserError), json.loads(path.read_text())
        assert [row.name for row in table.rows] == [row["name"] for row in raw["rows"]]
        told = [(v["mean"], v["std"]) for row in raw["rows"] for v in row["figures"] if v]
        assert [(v.mean, v.std) for row in table.rows for v in row.figures if v] == told


def test_mean_and_spread_are_of_the_seeds(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(TABLE))
    table = read_table_file(tmp_path / "t.json", UserError)
    value = table.rows[0].figures[0]
    assert (value.mean, value.std, table.columns[0].kind) == (0.375, statistics.stdev([0.25, 0.5]), "knn")


@pytest.mark.parametrize(
    "row", [ROW | {"name": "a\nb\x1b[31m", "figures": []}, ROW | {"figures": [{"by_seed": {"\x1b]0;x": 1}}]}]
)
def test_nothing_of_the_file_reaches_a_terminal_raw(tmp_path, row):
    (tmp_path / "t.json").write_text(json.dumps(TABLE | {"rows": [row]}))
    with pytest.raises(UserError, match="no table of") as error:
        read_table_file(tmp_path / "t.json", UserError)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (["columns", 0, "n"], "ten", "columns.0.n: Input should be a valid integer"),
        (["columns", 0, "n"], 0, "columns.0.n: Input should be greater than or equal to 1"),
        (["rows", 0, "figures", 0, "by_seed"], {}, "rows.0.figures.0.by_seed: "),
        (["rows", 0, "figures", 0, "by_seed", "0"], 1e200, "less than or equal to 1"),
        (["rows", 0, "figures", 0, "by_seed", "0"], 25.0, "less than or equal to 1"),
        (["rows", 0, "figures", 0, "by_seed", "0"], True, "valid number"),
        (["rows", 0, "figures"], [], "rows: Value error, byol has 0 figures, not 1"),
        (["rows"], 1, "rows: Input should be"),
    ],
)
def test_what_is_no_table(tmp_path, place, value, told):
    table = copy.deepcopy(TABLE)
    part = table
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    (tmp_path / "t.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"t\.json: no table of `ladder-hub sweep`: ") as error:
        read_table_file(tmp_path / "t.json", UserError)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
