"""The paper's claims against tables that were made so that the answer is known, and the interval against scipy."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ladder_hub.analysis.claims import analyse_claims, read_claims
from ladder_hub.analysis.claims_figure import draw_claims
from ladder_hub.analysis.pearson import student_quantile
from ladder_hub.downstream.metrics import wilson
from ladder_hub.errors import UserError
from ladder_hub.siamese.levels import LEVELS

N = 5000
KNN5, LINEAR5, LINEAR2 = ("knn:k20-t0.07", "res5"), ("linear:x", "res5"), ("linear:x", "res2")
Rows = dict[str, dict[tuple[str, str], list[float]]]


def written(path: Path, rows: Rows, *, n: int = N, intervals: bool = True) -> str:
    """A table as `sweep` writes it: method (and epochs), and by protocol and stage a figure a seed."""
    columns = list(dict.fromkeys(column for figures in rows.values() for column in figures))
    table = {
        "columns": [
            {"protocol": p, "stage": s, "metric": "top1", "n": n, "data": {"val": {"name": "val.tar"}}}
            for p, s in columns
        ],
        "rows": [
            {"name": "untrained", "method": None, "epochs": None, "figures": [None] * len(columns), "runs": []},
            *(
                {
                    "name": name,
                    "method": name.partition(" ")[0],
                    "epochs": int(name.partition(" ")[2] or 100),
                    "figures": [value(figures.get(column), n, intervals) for column in columns],
                    "runs": [],
                }
                for name, figures in rows.items()
            ),
        ],
    }
    path.write_text(json.dumps(table))
    return str(path)


def value(by_seed: list[float] | None, n: int, intervals: bool) -> dict[str, Any] | None:
    if by_seed is None:
        return None
    ci95 = {seed: wilson(share, n) if intervals else None for seed, share in enumerate(by_seed)}
    return {"by_seed": dict(enumerate(by_seed)), "ci95": ci95}


@pytest.mark.parametrize("df", [1, 2, 5, 12, 200])
def test_the_quantile_is_scipys(df: int) -> None:
    for share in (0.6, 0.9, 0.975, 0.999):
        assert student_quantile(share, df) == pytest.approx(stats.t.ppf(share, df), rel=1e-9)


def test_the_claims_name_methods_that_a_sweep_can_have() -> None:
    claims = read_claims()
    assert len(claims) == 5
    assert sum(len(claim.figures) for claim in claims) == 18
    for claim in claims:
        assert claim.contrast.keys() <= {*LEVELS, "ladder_dddd"}
        assert sum(claim.contrast.values()) == 0


def test_the_interval_by_hand(tmp_path) -> None:
    rows: Rows = {
        "byol": {LINEAR5: [0.200, 0.206]},
        "ladder_byol": {LINEAR5: [0.240, 0.236]},
        "dense_byol": {LINEAR5: [0.190, 0.194, 0.204]},
        "ladder_dense": {LINEAR5: [0.230]},
    }
    result = analyse_claims([written(tmp_path / "table.json", rows)])
    ladder, same, cost = result.findings
    assert (ladder.value, same.value) == (pytest.approx(3.5), pytest.approx(3.5))
    assert (ladder.paper, same.paper, cost.paper) == (pytest.approx(1.1), pytest.approx(0.6), None)
    assert cost.value == pytest.approx(100 * (0.230 - 0.238 - (0.588 / 3 - 0.203)))
    values = [figures[LINEAR5] for figures in rows.values()]
    pooled = sum(np.var(v, ddof=1) * (len(v) - 1) for v in values if len(v) > 1) / 4
    images = [np.mean([(np.diff(wilson(x, N))[0] / 2) ** 2 for x in v]) for v in values]
    t = stats.t.ppf(0.975, 4)
    assert ladder.half == pytest.approx(100 * math.sqrt(t**2 * pooled + images[0] + images[1]), rel=1e-6)
    each = pooled * (1 / 2 + 1 / 2 + 1 / 3 + 1)
    assert cost.half == pytest.approx(100 * math.sqrt(t**2 * each + sum(images)), rel=1e-6)
    assert (ladder.verdict, cost.verdict) == ("held", "can't tell")
    assert cost.seeds == {"ladder_dense": 1, "ladder_byol": 2, "dense_byol": 3, "byol": 2}


def test_a_claim_turned_round_did_not_hold(tmp_path) -> None:
    table = written(tmp_path / "t.json", {"byol": {LINEAR2: [0.3, 0.3]}, "ladder_byol": {LINEAR2: [0.2, 0.21]}})
    (finding,) = analyse_claims([table]).findings
    assert (finding.says, finding.stage) == ("every stage of a ladder beats BYOL's", "res2")
    assert (finding.verdict, round(finding.value, 6), round(finding.paper, 6)) == ("did not hold", -9.5, 3.4)


def test_single_seeds_tell_nothing(tmp_path) -> None:
    table = written(tmp_path / "t.json", {"byol": {LINEAR2: [0.1]}, "ladder_byol": {LINEAR2: [0.9]}})
    (finding,) = analyse_claims([table]).findings
    assert (finding.half, finding.verdict) == (None, "can't tell")


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.booleans(),
)
def test_the_claim_is_symmetrical(tmp_path_factory, byol: list[float], ladder: list[float], intervals: bool) -> None:
    path = tmp_path_factory.mktemp("symmetry") / "t.json"
    found = []
    for one, other in ((byol, ladder), (ladder, byol)):
        rows: Rows = {"byol": {LINEAR2: one}, "ladder_byol": {LINEAR2: other}}
        found += analyse_claims([written(path, rows, intervals=intervals)]).findings
    forth, back = found
    assert forth.value == pytest.approx(-back.value, abs=1e-9)
    assert forth.half == pytest.approx(back.half, abs=1e-9)


def test_what_the_table_lacks_is_said(tmp_path) -> None:
    table = written(tmp_path / "t.json", {"byol": {KNN5: [0.3, 0.3]}, "ladder_byol": {KNN5: [0.3, 0.31]}})
    result = analyse_claims([table])
    assert len(result.findings) + len(result.missing) == 18
    assert (
        "D-D-G-G beats D-D-D-D: the table lacks seg res5 miou of ladder_dense, ladder_dddd (equally long)"
        in result.missing
    )
    assert result.notes()[0] == "t.json: percentage points with 95 % intervals over 2 seeds and the validation images"


def test_only_equal_lengths_are_compared(tmp_path) -> None:
    """The longer ladder is not there: the longer BYOL, though better, has nothing to be compared with."""
    rows: Rows = {
        "byol": {LINEAR2: [0.20, 0.20]},
        "ladder_byol": {LINEAR2: [0.24, 0.24]},
        "byol 200": {LINEAR2: [0.29, 0.29]},
    }
    (finding,) = analyse_claims([written(tmp_path / "t.json", rows)]).findings
    assert (finding.epochs, round(finding.value, 6), finding.paper) == (100, 4.0, None)
    rows["ladder_byol 200"] = {LINEAR2: [0.28, 0.28]}
    result = analyse_claims([written(tmp_path / "t.json", rows)])
    assert [(found.epochs, round(found.value, 6)) for found in result.findings] == [(100, 4.0), (200, -1.0)]
    assert [row[2] for row in result.table()[1]] == [f"linear:x res2 top1 after {n} epochs" for n in (100, 200)]
    draw_claims(result)


def test_a_method_that_stands_twice_is_left_out_and_named(tmp_path) -> None:
    path = tmp_path / "t.json"
    written(path, {"byol": {LINEAR2: [0.2]}, "ladder_byol": {LINEAR2: [0.3]}, "ladder_byol 200": {LINEAR2: [0.4]}})
    table = json.loads(path.read_text())
    table["rows"][3]["epochs"] = 100
    path.write_text(json.dumps(table))
    result = analyse_claims([str(path)])
    assert result.findings == ()
    assert result.missing[-1] == "ladder_byol and ladder_byol 200 are all ladder_byol of 100 epochs, and were left out"


def test_an_empty_table_can_be_drawn(tmp_path) -> None:
    result = analyse_claims([written(tmp_path / "t.json", {})])
    assert (result.findings, len(result.missing)) == ((), 18)
    draw_claims(result)


@pytest.mark.parametrize("text", ["[]", "{}", '{"columns": 1, "rows": []}', '{"columns": [{}], "rows": [{}]}', "x"])
def test_what_is_no_table(tmp_path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=r"x\.json"):
        analyse_claims([str(tmp_path / "x.json")])


def test_words_that_it_does_not_take(tmp_path) -> None:
    with pytest.raises(UserError, match="no such file|not there|can't"):
        analyse_claims([str(tmp_path / "none.json")])
    with pytest.raises(UserError, match="takes one table"):
        analyse_claims(["a", "b"])
    with pytest.raises(UserError, match="unknown key 'n'"):
        analyse_claims([], ["n=1"])
