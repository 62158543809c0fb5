import numpy as np
import pytest
from artifact_factory import log_lines
from PIL import Image

from ladder_hub.curves import draw_curves

LEVELS = ["res2.dense", "res3.dense", "res4.global", "res5.global"]
KNN = [
    {"epoch": 1, "samples": 1000, "knn": {"top1": 0.1}},
    {"epoch": 2, "samples": 2000, "knn": {"top1": 0.2}},
]


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(image, colour):
    """How many pixels have about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(image - wanted).max(axis=-1) < 12).sum())


def test_each_level_is_drawn_in_its_own_colour(tmp_path):
    draw_curves(log_lines(LEVELS), tmp_path / "all.png")
    draw_curves(log_lines(["res5.global"]), tmp_path / "one.png")
    every, one = pixels(tmp_path / "all.png"), pixels(tmp_path / "one.png")
    assert near(one, "#D55E00") > 300
    for colour in ("#56B4E9", "#009E73", "#E69F00"):
        assert near(every, colour) > 50
        assert near(one, colour) == 0


def test_knn_gets_a_panel_of_its_own(tmp_path):
    draw_curves(log_lines(LEVELS), tmp_path / "without.png")
    draw_curves([*log_lines(LEVELS), *KNN], tmp_path / "with.png")
    assert pixels(tmp_path / "with.png").shape[1] == 1.5 * pixels(tmp_path / "without.png").shape[1]


def test_the_same_log_gives_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        draw_curves([*log_lines(LEVELS), *KNN], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("log", [[], KNN, log_lines(LEVELS, steps=1), [{"event": "start"}], log_lines([])])
def test_a_short_log_is_drawn_without_complaint(log, tmp_path, recwarn):
    draw_curves(log, tmp_path / "curves.png")
    assert pixels(tmp_path / "curves.png").size > 0
    assert [str(warning.message) for warning in recwarn] == []
