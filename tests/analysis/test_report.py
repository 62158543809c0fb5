"""The report: one sound file, whatever stands in it, of runs in any state."""

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_factory import log_lines
from pages import Page
from rich.console import Console
from run_factory import make_run, small
from sklearn.decomposition import PCA

from ladder_hub import cli
from ladder_hub.analysis.report.collapse import collapsed_at
from ladder_hub.analysis.report.curves import thinned
from ladder_hub.analysis.report.maps import principal_maps
from ladder_hub.analysis.report.page import report
from ladder_hub.analysis.report.recipes import base_of, differences
from ladder_hub.analysis.report.runs import open_runs
from ladder_hub.errors import UserError

QUIET = Console(quiet=True)
HOSTILE = "<script>alert(1)<"
KEYS = ["data.images=shapes:6", "n=4", "maps=2", "device=cpu"]


def made(folders: list[Path], out: Path, *keys: str) -> Page:
    report([str(folder) for folder in folders], [*KEYS, f"out={out}", *keys], console=QUIET)
    return Page(out.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Four: two finished, one that stopped half-way, with a name that would be markup, one that has only begun."""
    folder = tmp_path_factory.mktemp("runs")
    hostile = small("tiny64_byol", "description=</style><img src=x onerror=alert(1)>", "name=&lt;b>&amp;")
    return [
        make_run(folder / "ladder", small("tiny64_ladder_byol")),
        make_run(folder / "dense", small("tiny64_ladder_dense", "seed=3", "epochs=7")),
        make_run(folder / HOSTILE, hostile, finished=False),
        make_run(folder / "begun", small("tiny64_byol"), finished=False, log=[]),
    ]


@pytest.fixture(scope="module")
def html(runs, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report") / "report.html"
    made(runs, out)
    return out.read_text()


def test_it_holds_together_and_asks_for_nothing(html: str) -> None:
    page = Page(html)
    assert page.check() == []
    assert page.addresses == []
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(html.encode()) < 5_000_000


def test_every_section_is_there(html: str) -> None:
    page = Page(html)
    links = [link["href"] for link in page.all("a") if link["href"] != "#content"]
    assert links == [f"#{section['id']}" for section in page.all("section")]
    assert len(links) == 10
    assert page.text.count("the three components hold this share of the variance") == 3  # two runs and one untrained
    assert page.text.count("share of the cells that a gradient is spread over") == 2
    assert "Medians over pairs, and the ratio with its 95 % interval" in page.text


def test_nothing_from_outside_is_markup(html: str) -> None:
    page = Page(html)
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert HOSTILE in page.text
    assert "</style><img src=x onerror=alert(1)>" in page.text
    assert not [image for image in page.all("img") if "onerror" in image]


def test_only_its_own_script_may_run(html: str) -> None:
    page = Page(html)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_the_state_of_each_run(html: str) -> None:
    text = Page(html).text
    assert text.count("finished") >= 2
    assert "unfinished: in epoch 3 of 20" in text  # the last line of the factory's log is at epoch 9 / 4
    assert "unfinished: nothing logged yet" in text
    assert "4.000 so far (first logged 4.000)" in text
    assert "begun has left no weights yet." in text


def test_figures_stand_with_interval_n_and_baseline(html: str) -> None:
    text = Page(html).text
    assert text.count("43.2 (38.9 to 47.6)n = 500, before 12.3") == 2
    assert "not measured" not in text


def test_figures_of_one_protocol_and_set_of_images_stand_together(tmp_path) -> None:
    folders = [
        make_run(tmp_path / "one", small("tiny64_byol")),
        make_run(tmp_path / "two", small("tiny64_byol"), protocol="knn:k200-t0.07"),
    ]
    page = made(folders, tmp_path / "report.html")
    text = page.text.split("Metrics")[2].split("Views")[0]
    assert text.index("knn:k20-t0.07") < text.index("not measured") < text.index("knn:k200-t0.07")
    assert text.count("not measured") == 2


def test_recipes_between_the_runs_and_against_their_bases(html: str) -> None:
    text = Page(html).text
    assert "Where it differs from tiny64_ladder_dense" in text
    assert "epochs207" in text
    assert "seed0300" in text


def test_without_images_the_page_says_why_and_the_rest_stands(runs, tmp_path) -> None:
    recipe = small("tiny64_ladder_byol", "data.train=/nowhere/at/all")
    page = made([make_run(tmp_path / "moved", recipe)], tmp_path / "r.html", "data.images=")
    assert page.check() == []
    assert "data.images=IMAGES names images for this section" in page.text
    assert "/nowhere" in page.text  # the place that was looked at
    assert "43.2" in page.text


def test_images_that_were_asked_for_and_are_not_there(runs, tmp_path) -> None:
    with pytest.raises(UserError, match=r"^data.images=.*nowhere does not exist"):
        made(runs[:1], tmp_path / "r.html", f"data.images={tmp_path / 'nowhere'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda at: at / "none", "no such folder; report takes the folders of runs"),
        (lambda at: at, "no run there (it has no recipe.toml)"),
        (lambda at: _file(at / "recipe.toml", "levels = 3"), "recipe.toml: "),
        (
            lambda at: _file(make_run(at / "r", small("tiny64_byol"), finished=False) / "log.jsonl", b"\xff\n"),
            "log.jsonl",
        ),
    ],
)
def test_a_bad_folder_is_one_line(make, message, tmp_path, capsys) -> None:
    folder = make(tmp_path)
    folder = folder.parent if folder.is_file() else folder
    with pytest.raises(SystemExit) as exit_:
        cli.main(["report", str(folder), f"out={tmp_path / 'out.html'}"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.html").exists()


def _file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_that_is_no_report_stays(runs, tmp_path) -> None:
    mine = _file(tmp_path / "notes.html", "<!doctype html>mine")
    with pytest.raises(UserError, match="exists and is no page of ladder-hub report"):
        made(runs[3:], mine)
    assert mine.read_text() == "<!doctype html>mine"
    with pytest.raises(UserError, match="is a folder"):
        made(runs[3:], tmp_path)


def test_a_report_is_replaced(runs, tmp_path) -> None:
    first = made(runs[3:], tmp_path / "r.html", "data.images=shapes:4")
    second = made(runs[2:3], tmp_path / "r.html", "data.images=shapes:4")
    assert "begun" in first.text
    assert "begun" not in second.text
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_odd_lines_of_a_log_are_passed_over(tmp_path) -> None:
    lines = [*log_lines(["res5.global"], 3), 7, {"step": 3}, {"samples": "many", "losses": {}}]
    lines.append({"samples": 900, "step": 4, "losses": {"res5.global": float("nan")}, "std": None, "lr": True})
    run = make_run(tmp_path / "run", small("tiny64_byol"), finished=False, log=lines)
    (found,) = open_runs([str(run)])
    assert [point[0] for point in found.points("losses", "res5.global")] == [0, 256, 512]
    assert found.points("lr")[-1] == (512, 0.1)
    assert found.samples == 900


def test_finished_runs_take_the_first_colours_and_keep_their_order(runs) -> None:
    found = open_runs([str(runs[2]), str(runs[0]), str(runs[1])])
    assert [run.name for run in found] == [HOSTILE, "ladder", "dense"]
    assert [run.number for run in found] == [3, 0, 1]  # 2 is the untrained network's


def test_a_run_named_twice(runs) -> None:
    with pytest.raises(UserError, match="named twice"):
        open_runs([str(runs[0]), str(runs[0])])


def test_principal_components_against_scikit_learn() -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 7, 5, 4) * torch.arange(1.0, 8.0).view(1, 7, 1, 1)
    cells = maps.permute(0, 2, 3, 1).reshape(-1, 7).numpy()
    pca = PCA(3).fit(cells)
    found = principal_maps(maps)
    assert found.share == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-5)
    assert found.rgb.shape == (3, 5, 4, 3)
    theirs = pca.transform(cells)
    for channel in range(3):
        ours = found.rgb.reshape(-1, 3)[:, channel].astype(float)
        inside = (ours > 0) & (ours < 255)
        assert abs(np.corrcoef(ours[inside], theirs[inside, channel])[0, 1]) > 0.9999
        assert {ours.min(), ours.max()} == {0, 255}


def test_the_same_maps_give_the_same_colours() -> None:
    maps = torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(1))
    assert np.array_equal(principal_maps(maps).rgb, principal_maps(maps.clone()).rgb)


def test_a_constant_map_is_grey() -> None:
    found = principal_maps(torch.full((2, 8, 3, 3), 0.7))
    assert found.share == 0
    assert (found.rgb == 128).all()


def test_collapse_is_told_from_the_second_low_step_on(tmp_path) -> None:
    lines = log_lines(["res4.global", "res5.global"], 6)
    for step, std in enumerate([0.9, 0.05, 0.9, 0.05, 0.04, 0.03]):
        lines[step]["std"] = {"res4.global": 0.9, "res5.global": std}
    run = make_run(tmp_path / "run", small("tiny64_byol"), finished=False, log=lines)
    (found,) = open_runs([str(run)])
    assert collapsed_at(found) == {"res5.global": 3}
    page = made([run], tmp_path / "r.html")
    assert "run: collapsed: res5.global from step 3." in page.text


def test_the_base_is_the_recipe_of_that_name_else_the_nearest() -> None:
    recipe = small("tiny64_ladder_dense")
    assert base_of(recipe)[0] == "tiny64_ladder_dense"
    name, base = base_of(recipe.model_copy(update={"name": "mine"}))
    assert name == "tiny64_ladder_dense"
    changed = differences(base, recipe)
    assert changed["model.backbone"] == ("resnet18", "test_resnet")
    assert changed.keys() == {
        *("model.backbone", "heads.hidden", "heads.out", "data.train", "data.workers", "batch_size", "micro_batch")
    }


def test_a_long_curve_is_thinned_by_means() -> None:
    points = [(step, float(step % 7)) for step in range(10_000)]
    found = thinned(points)
    assert len(found) <= 300
    assert found[0][0] >= points[0][0]
    assert np.mean([value for _, value in found]) == pytest.approx(np.mean([value for _, value in points]), rel=1e-2)
    assert thinned(points[:5]) == points[:5]


def test_a_line_break_in_a_name_is_no_line_break(tmp_path) -> None:
    run = make_run(tmp_path / "two\nlines\x1b", small("tiny64_byol"), finished=False)
    page = made([run], tmp_path / "r.html")
    assert page.check() == []
    assert "\x1b" not in (tmp_path / "r.html").read_text()


def test_json_of_the_log_is_not_needed(runs, tmp_path) -> None:
    """An artifact alone is a run without its log."""
    page = made([runs[0] / "artifact"], tmp_path / "r.html")
    assert page.check() == []
    assert "No run has logged a step yet." in page.text
    assert "43.2" in page.text
    assert json.loads((runs[0] / "artifact" / "provenance.json").read_text())["weights_digest"] in page.text
