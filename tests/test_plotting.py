"""Plots: the same figure gives the same bytes, in both formats."""

from pathlib import Path

import pytest
from PIL import Image

from ladder_hub.plotting import MODEL_COLOURS, STAGE_COLOURS, STAGE_MARKERS, area_style, new_figure, save_figure


def drawn(path: Path) -> list[Path]:
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2], [3, 4], color=STAGE_COLOURS["res2"])
    return save_figure(figure, path)


def test_without_a_suffix_both_are_written(tmp_path: Path) -> None:
    first = drawn(tmp_path / "a.views")
    assert [path.name for path in first] == ["a.views.png", "a.views.svg"]
    assert Image.open(first[0]).size == (360, 240)
    assert [path.read_bytes() for path in drawn(tmp_path / "b")] == [path.read_bytes() for path in first]


@pytest.mark.parametrize("end", ["png", "svg"])
def test_with_a_suffix_that_one(tmp_path: Path, end: str) -> None:
    assert drawn(tmp_path / f"a.{end}") == [tmp_path / f"a.{end}"]
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{end}"]


def test_no_two_look_alike() -> None:
    assert len(set(MODEL_COLOURS)) == len(MODEL_COLOURS) == 8
    assert STAGE_COLOURS.keys() == STAGE_MARKERS.keys()
    assert len(set(STAGE_COLOURS.values())) == len(set(STAGE_MARKERS.values())) == 4
    assert len({area_style(number) for number in range(64)}) == 64
    assert len({area_style(number)[1] for number in range(8)}) == 8
