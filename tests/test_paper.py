"""The paper's figures: what the file holds agrees with what the shipped recipes say of them."""

import re

import pytest

from ladder_hub import paper
from ladder_hub._shipped import shipped

TABLES = {table: paper.rows(table) for table in range(1, 8)}


def test_what_is_at_hand() -> None:
    assert {table: len(rows) for table, rows in TABLES.items()} == {1: 6, 2: 7, 3: 0, 4: 5, 5: 3, 6: 4, 7: 2}
    assert all(set(row.figures) <= set(paper.tasks()) for rows in TABLES.values() for row in rows)
    assert all(0 < value < 100 for rows in TABLES.values() for row in rows for value in row.figures.values())


@pytest.mark.parametrize("row", TABLES[1], ids=lambda row: f"{row.method}_{row.epochs}e")
def test_table_1_is_what_the_recipes_say(row: paper.Row) -> None:
    text = (shipped("recipes") / f"{row.method}_{row.epochs}e.toml").read_text(encoding="utf-8")
    assert float(re.search(r"ImageNet linear (\d+\.\d)", text)[1]) == row.figures["imagenet"]


def test_the_table_of_stages_has_all_four() -> None:
    assert [list(row.figures) for row in TABLES[7]] == [["res2", "res3", "res4", "res5"]] * 2
