"""The table of what lies in a folder, against numpy and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from left import SMALL, figure, leave_figures, leave_run

from ladder_hub.errors import UserError
from ladder_hub.sweeps.cells import settings_of
from ladder_hub.sweeps.evaluations import Evaluation
from ladder_hub.sweeps.grid import load_sweep
from ladder_hub.sweeps.places import Place
from ladder_hub.sweeps.table import read_table
from ladder_hub.sweeps.written import header_and_rows, markdown, notes, write_table
from ladder_hub.table_file import read_table_file

SWEEP = load_sweep("table4")
SETTINGS = {setting.cell.name: setting for setting in settings_of(SWEEP, "tiny64", SMALL)}
STAGES = ("res2", "res3", "res4", "res5")


def finished(out: Path, cell: str, seed: int, *, digest: str = "ab") -> Place:
    place = Place(out / cell, seed)
    leave_run(place, SETTINGS[cell].recipe(f"seed={seed}"), digest)
    return place


@pytest.fixture
def out(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for cell in ("byol", "ladder_byol"):
        for seed in (0, 1, 2):
            leave_figures(finished(tmp_path, cell, seed), dict(zip(STAGES, rng.random(4).tolist(), strict=True)))
    for seed in (0, 1, 2):
        leave_figures(Place(tmp_path / "untrained-test_resnet-32px", seed), {"res5": 0.1}, weights="untrained")
    return tmp_path


def test_mean_and_deviation_are_numpys(out: Path) -> None:
    table = read_table(SWEEP, out)
    assert [row.name for row in table.rows] == ["untrained-test_resnet-32px", *SETTINGS]
    for row in table.rows[1:2] + table.rows[3:4]:
        for column, value in row.values.items():
            files = [Place(out / row.name, seed).figures()[0] for seed in (0, 1, 2)]
            found = [json.loads(file.read_text())["entries"][STAGES.index(column.stage)]["value"] for file in files]
            assert value.mean == pytest.approx(np.mean(found), abs=1e-12)
            assert value.std == pytest.approx(np.std(found, ddof=1), abs=1e-12)
        assert (row.seeds, row.epochs) == ((0, 1, 2), 40)
    assert [row.seeds for row in table.rows[2::2]] == [(), ()]


def test_what_is_printed(out: Path) -> None:
    leave_figures(Place(out / "byol", 0), {"res5": 0.25})
    leave_figures(Place(out / "byol", 1), {"res5": 0.35})
    Place(out / "byol", 2).figures()[0].unlink()
    header, rows = header_and_rows(read_table(SWEEP, out))
    assert header[:4] == ["", "epochs", "seeds", "knn res5 top-1"]
    assert header[-3:] == ["paper: epochs", "paper: ImageNet linear, top-1", "paper: VOC 2012 segmentation, mIoU"]
    assert rows[0][:4] == ["untrained test_resnet 32px", "0", "3", "10.0 ± 0.0"]
    assert rows[1][:4] == ["BYOL", "40", "3", "30.0 ± 7.1 (n = 2)"]
    assert [row[-3:] for row in rows] == [
        ["", "", ""],
        ["100", "67.4", "63.8"],
        ["100", "", "65.2"],
        ["200", "72.8", "67.4"],
        ["200", "72.0", "68.6"],
    ]
    assert rows[2][1:4] == ["", "0", ""]
    text = markdown(read_table(SWEEP, out))
    assert "| BYOL | 40 | 3 | 30.0 ± 7.1 (n = 2) |" in text
    assert "- knn: knn:k20-t0.07 on 500 images of val." in text


def test_what_runs_took(tmp_path) -> None:
    """Energy where provenance has it; runs of before it was counted have not even the key."""
    places = [finished(tmp_path, "byol", seed) for seed in (0, 1, 2)]
    for place, joules in zip(places[:2], (1800, None), strict=True):
        path = place.run / "artifact" / "provenance.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"joules": joules}))
    row = next(row for row in read_table(SWEEP, tmp_path).rows if row.name == "byol")
    assert [(cost.hours, cost.kwh) for cost in row.costs] == [(0.343, 0.0005), (0.343, None), (0.343, None)]


def test_what_is_written_can_be_read(out: Path) -> None:
    write_table(read_table(SWEEP, out), out)
    table = read_table_file(out / "table.json", UserError)
    assert [row.name for row in table.rows] == [row.name for row in read_table(SWEEP, out).rows]
    assert sum(value is not None for row in table.rows for value in row.figures) == 9


def test_a_single_seed_has_no_deviation(tmp_path) -> None:
    leave_figures(finished(tmp_path, "byol", 7), {"res5": 0.25})
    table = read_table(SWEEP, tmp_path)
    assert header_and_rows(table)[1][0][2:4] == ["1", "25.0"]
    assert next(iter(table.rows[0].values.values())).std is None


def test_figures_of_weights_that_are_gone_do_not_count(tmp_path) -> None:
    leave_figures(finished(tmp_path, "byol", 0, digest="new"), {"res5": 0.25}, weights="old")
    assert read_table(SWEEP, tmp_path).columns == ()


def test_a_mean_is_never_over_unlike_runs(tmp_path) -> None:
    finished(tmp_path, "byol", 0)
    leave_run(Place(tmp_path / "byol", 1), SETTINGS["byol"].recipe("seed=1", "optim.base_lr=1"))
    with pytest.raises(UserError, match="the runs of seeds 0, 1 are of unlike recipes"):
        read_table(SWEEP, tmp_path)


def test_other_images_and_protocols_have_their_own_columns(tmp_path) -> None:
    place = finished(tmp_path, "byol", 0)
    leave_figures(place, {"res5": 0.25})
    others = {"train": {}, "val": {"name": "other"}}
    leave_figures(place, {"res5": 0.5}, by=Evaluation("knn", ("data.val=other",)), data=others, n=9)
    leave_figures(place, {"res5": 0.75}, by=Evaluation("knn", ("k=3",)), protocol="knn:k3-t0.07")
    leave_figures(place, {"pyramid": 0.125}, by=Evaluation("detect", ()), protocol="det:x", metric="box_ap")
    leave_figures(place, {"pyramid": 0.5}, by=Evaluation("detect", ("a=b",)), protocol="det:x", metric="box_ap50")
    table = read_table(SWEEP, tmp_path)
    header, rows = header_and_rows(table)
    shown = dict(zip(header, rows[0], strict=True))
    figures = {name: shown[name] for name in header[3:7]}
    assert sorted(figures) == ["det box AP", "knn 1 res5 top-1", "knn 2 res5 top-1", "knn 3 res5 top-1"]
    told = {line.partition(":")[0]: line for line in notes(table)}
    for number in (1, 2, 3):
        value = figures[f"knn {number} res5 top-1"]
        where = {"25.0": "k20-t0.07 on 500 images of val.", "50.0": "k20-t0.07 on 9 images of other."}
        assert where.get(value, "k3-t0.07 on 500 images of val.") in told[f"knn {number}"]
    assert len(table.to_dict()["columns"]) == 5


def test_what_was_begun_and_left_nothing_is_named(tmp_path) -> None:
    place = finished(tmp_path, "byol", 0)
    (place.cell / "seed0.log").write_text("fine\n")
    (place.cell / "seed1.log").write_text("a line\nladder-hub: data.train=/x: no such folder\n")
    (place.cell / "seed0.segment-0123abcd.log").write_text("")
    table = read_table(SWEEP, tmp_path)
    assert table.unfinished == (
        "segment of byol seed 0 is not finished",
        "byol seed 1 is not finished: data.train=/x: no such folder",
    )
    assert table.rows[0].seeds == (0,)
    assert set(table.unfinished) < set(notes(table))


def test_the_files(out: Path) -> None:
    files = write_table(read_table(SWEEP, out), out)
    assert [file.name for file in files] == ["table.md", "table.json", "table.png", "table.svg"]
    kept = json.loads((out / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]][1:] == list(SETTINGS)
    assert kept["rows"][1]["paper"] == {"epochs": 100, "percent": {"imagenet": 67.4, "voc": 63.8}}
    assert kept["rows"][1]["figures"][0]["n"] == 3
    assert kept["rows"][2]["figures"] == [None] * len(kept["columns"])
    svg = (out / "table.svg").read_text()
    assert all(label in svg for label in ("BYOL", "untrained test_resnet 32px", "(n = 500 images)", "3 seeds"))
    assert "DenseBYOL" not in svg  # nothing was measured of it
    assert (out / "table.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_a_table_without_bars(tmp_path) -> None:
    finished(tmp_path, "byol", 0)
    files = write_table(read_table(SWEEP, tmp_path), tmp_path)
    assert [file.name for file in files] == ["table.md", "table.json"]


def test_entries_without_images_are_shown_all_the_same(tmp_path) -> None:
    place = finished(tmp_path, "byol", 0)
    entry = figure("res5", 0.5, data={"val": {}})
    leave_figures(place, {}, by=Evaluation("knn", ()))
    path = place.figures()[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"entries": [entry]}))
    assert "images of ?." in notes(read_table(SWEEP, tmp_path))[1]
