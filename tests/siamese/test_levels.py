"""The four methods as the paper's table gives them."""

from ladder_hub.siamese.levels import LEVELS, Level, halving_weights


def test_methods_are_the_papers_table() -> None:
    table = {method: {level.stage: (level.loss, level.weight) for level in levels} for method, levels in LEVELS.items()}
    assert table == {
        "byol": {"res5": ("global", 1)},
        "dense_byol": {"res5": ("dense", 1)},
        "ladder_byol": {
            "res2": ("global", 1 / 16),
            "res3": ("global", 1 / 8),
            "res4": ("global", 1 / 4),
            "res5": ("global", 1),
        },
        "ladder_dense": {
            "res2": ("dense", 1 / 16),
            "res3": ("dense", 1 / 8),
            "res4": ("global", 1 / 4),
            "res5": ("global", 1),
        },
    }


def test_halving_heuristic_gives_the_rows_of_table_6() -> None:
    assert halving_weights(3) == [1 / 16, 1 / 8, 1 / 4]
    assert halving_weights(3, w=1 / 4) == [1 / 32, 1 / 16, 1 / 8]
    assert halving_weights(3, w=1.0) == [1 / 8, 1 / 4, 1 / 2]


def test_a_dense_level_owns_a_global_head_too() -> None:
    assert Level("res2", "dense").heads == ("global", "dense")
    assert Level("res2", "global").heads == ("global",)
    assert Level("res2", "dense").name == "res2.dense"
