"""Correlations against scipy, and the tables that they are of."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from artifact_factory import VAL, metric
from scipy import stats

from ladder_hub import cli, paper
from ladder_hub.analysis.correlations import CorrelationAnalysis, analyse_correlations
from ladder_hub.analysis.correlations_figure import draw_correlations
from ladder_hub.analysis.pearson import pearson, student_two_sided
from ladder_hub.errors import UserError
from ladder_hub.models import list_models

# ---- Pearson's r


@pytest.mark.parametrize("df", [*range(1, 12), 30, 31, 200])
def test_student_against_scipy(df: int) -> None:
    for t in (0.0, 0.1, 0.7, 1.0, 2.3, 5.0, -12.0):
        assert student_two_sided(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), abs=1e-12)


@pytest.mark.parametrize("n", [3, 4, 5, 20, 101])
def test_pearson_against_scipy(n: int) -> None:
    x, noise = np.random.default_rng(n).normal(size=(2, n))
    y = 0.6 * x + noise
    theirs, ours = stats.pearsonr(x, y), pearson(list(x), list(y))
    assert ours.r == pytest.approx(theirs.statistic, abs=1e-12)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)
    if n == 3:
        assert ours.ci95 is None
    else:
        assert ours.ci95 == pytest.approx(tuple(theirs.confidence_interval(0.95)), abs=1e-9)


def test_fewer_than_three_give_no_r() -> None:
    for n in range(3):
        assert pearson([1.0, 2.0][:n], [3.0, 1.0][:n]).r is None


def test_a_line_is_one_and_a_constant_is_nothing() -> None:
    line = pearson([1, 2, 3, 4], [5, 3, 1, -1])
    assert (line.r, line.p, line.ci95) == (-1, 0, None)
    assert pearson([1, 2, 3, 4], [0.1 + 0.2] * 4).r is None
    assert pearson([70.1] * 7, list(range(7))).r is None


def test_scale_and_place_do_not_matter() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    assert pearson(list(1e6 + x), list(1e-9 * y)).r == pytest.approx(pearson(list(x), list(y)).r, abs=1e-6)


# ---- tables


def pair(result: CorrelationAnalysis, a: str, b: str):
    return next(found for found in result.pairs if found.tasks == (a, b))


def test_the_papers_table_2() -> None:
    """Pairwise complete cases, counted here by hand from the file's rows."""
    result = analyse_correlations()
    assert len(result.pairs) == 10
    for found in result.pairs:
        a, b = found.tasks
        both = [row for row in paper.rows(2) if a in row.figures and b in row.figures]
        assert found.found.n == len(both) == len(found.points)
        assert found.methods == tuple(row.method for row in both)
        if len(both) < 3:
            assert found.found.r is None
        else:
            theirs = stats.pearsonr([row.figures[a] for row in both], [row.figures[b] for row in both])
            assert found.found.r == pytest.approx(theirs.statistic)
            assert found.found.p == pytest.approx(theirs.pvalue)
            assert found.p_bonferroni == pytest.approx(min(1, 6 * theirs.pvalue))
    assert result.tested == 6
    assert sum(found.found.r is None for found in result.pairs) == 4


def test_rows_of_several_lengths_keep_names_of_their_own() -> None:
    result = analyse_correlations([], ["table=1"])
    assert "ladder_byol 100e" in pair(result, "imagenet", "voc").methods
    assert pair(result, "imagenet", "coco_box").found.n == 4


def test_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("method,a,b,c\nx,1,2,\ny, 2 ,4,1\nz,3,7,\n\nw,4,,5\n", encoding="utf-8")
    result = analyse_correlations([str(file)])
    assert result.source == "mine.csv"
    assert [found.found.n for found in result.pairs] == [3, 2, 1]
    assert pair(result, "a", "b").methods == ("x", "y", "z")
    assert pair(result, "a", "b").found.r == pytest.approx(stats.pearsonr([1, 2, 3], [2, 4, 7]).statistic)


def test_r_as_stated_stands_beside_ours(tmp_path: Path, capsys) -> None:
    """What `zoo/paper.toml` would have if the paper's three were at hand, in a file with figures of our own making."""
    rows = "".join(
        f'[[rows]]\nmethod = "{name}"\nfigures = {{ a = {a}, b = {b}, c = {c} }}\n'
        for name, a, b, c in [("x", 1, 2.5, 3), ("y", 2, 1, 1), ("z", 3.5, 4, 1), ("w", 5, 4.5, 0)]
    )
    file = tmp_path / "stated.toml"
    file.write_text(f'[tasks]\na = "Task A"\n{rows}[[correlations]]\ntasks = ["b", "a"]\nr = 0.5\n', encoding="utf-8")
    result = analyse_correlations([str(file)])
    assert [found.stated for found in result.pairs] == [0.5, None, None]
    with pytest.raises(SystemExit):
        cli.main(["analyse", "correlations", str(file)])
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.endswith("r as stated")
    assert first.split()[:4] == ["a", "b", "4", f"{pair(result, 'a', 'b').found.r:.3f}"]
    assert first.endswith("0.500")


def test_what_the_papers_file_states_goes_with_its_table(monkeypatch) -> None:
    stated = [{"table": 2, "tasks": ["imagenet", "voc"], "r": 0.25}, {"table": 1, "tasks": ["voc", "imagenet"], "r": 1}]
    whole = paper._file() | {"correlations": stated}
    monkeypatch.setattr(paper, "_file", lambda: whole)
    assert pair(analyse_correlations(), "imagenet", "voc").stated == 0.25
    assert pair(analyse_correlations(), "imagenet", "coco_box").stated is None


def test_the_zoo(tmp_path: Path, monkeypatch) -> None:
    """Figures of one protocol on other images are another task."""
    shipped = analyse_correlations([], ["zoo=true"])
    assert max(found.found.n for found in shipped.pairs) == len(list_models(pretrained=True)) == 4
    zoo = tmp_path / "zoo"
    index = ""
    for number, (name, other) in enumerate([("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")]):
        folder = zoo / f"{name}.t"
        folder.mkdir(parents=True)
        entries = [metric(value=0.1 * number, weights="w"), metric(value=0.5, weights="w", metric="top5")]
        entries[1]["data"] = {"val": VAL | {"name": other}}
        (folder / "metrics.json").write_text(json.dumps(entries), encoding="utf-8")
        index += f'["{name}.t"]\narchitecture = "resnet50"\nrecipe = "byol_200e"\nstatus = "recipe only"\n'
    (zoo / "index.toml").write_text(index, encoding="utf-8")
    monkeypatch.setattr("ladder_hub.registry.shipped", lambda _: tmp_path / "none")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "index.toml").write_text(index, encoding="utf-8")
    with pytest.raises(UserError, match="no model of the zoo has measured figures"):
        analyse_correlations([], ["zoo=true"])
    monkeypatch.setattr("ladder_hub.registry.shipped", lambda _: zoo)
    result = analyse_correlations([], ["zoo=true"])
    assert [found.found.n for found in result.pairs] == [3, 1, 0]
    assert pair(result, *result.pairs[0].tasks).points[1][0] == pytest.approx(10)
    assert "knn:k20-t0.07 res5 top1" in result.pairs[0].tasks[0]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "method,a,b\nx,1,two\n", "x, b: 'two' is no number"),
        ("a.csv", "method,a,b\nx,1,nan\n", "x, b: 'nan' is no number"),
        ("a.csv", "method,a,b\nx,1,2\nx,3,4\n", "'x' stands twice"),
        ("a.csv", "method,a,b\nx,1,2,3\n", "has 4 cells"),
        ("a.csv", "method,a\nx,1\n", "a header with"),
        ("a.csv", "", "a header with"),
        ("a.toml", "rows = [", "is not TOML"),
        ("a.toml", '[[rows]]\nmethod = "x"\nfigure = {}\n', "'rows.0.figures' is missing"),
        ("a.toml", '[[rows]]\nmethod = "x"\nfigures = { a = 1 }\n', "two are needed"),
        ("a.txt", "x", "neither .csv nor .toml"),
    ],
)
def test_files_that_are_no_tables(name: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says) as found:
        analyse_correlations([str(tmp_path / name)])
    assert "\n" not in str(found.value)


def test_one_source_at_a_time(tmp_path: Path) -> None:
    for files, keys in itertools.product(([], ["a.csv"]), (["zoo=true", "table=2"], ["zoo=true"], ["table=2"])):
        if len(files) + len(keys) > 1:
            with pytest.raises(UserError, match="one of FILE, table=N and zoo=true"):
                analyse_correlations(files, keys)
    with pytest.raises(UserError, match="nothing of the paper's Table 3"):
        analyse_correlations([], ["table=3"])
    with pytest.raises(UserError, match="can't read"):
        analyse_correlations([str(tmp_path / "none.csv")])


def test_the_verb_writes_what_it_prints(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["analyse", "correlations", f"out={tmp_path / 'c'}"])
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert "4 of 10 pairs have fewer than 3 methods with both tasks: no r" in printed
    facts = json.loads((tmp_path / "c.json").read_text())
    first = facts["pairs"][0]
    assert f"{first['r']:.3f}" in printed
    assert math.isclose(first["p_bonferroni"], min(1, 6 * first["p"]))
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert "LEWEL" in (tmp_path / "c.svg").read_text()


def test_a_panel_a_pair_and_fifteen_at_most(tmp_path: Path) -> None:
    titles = [axes.get_title() for axes in draw_correlations(analyse_correlations()).axes]
    assert len(titles) == 10
    assert titles[0].startswith("r = 0.970, n = 4")
    assert titles.count("n = 2: no r") == 4
    header = ",".join(["method", *(f"t{k}" for k in range(7))])
    lines = [",".join([str(row), *(str((row * k) % 5) for k in range(1, 8))]) for row in range(4)]
    (tmp_path / "wide.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    figure = draw_correlations(analyse_correlations([str(tmp_path / "wide.csv")]))
    assert len(figure.axes) == 15
    assert "6 of 21 pairs are not shown" in figure.get_suptitle()
