"""Every script in examples/ runs, on tiny data, and says what it should."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from artifact_factory import REPOSITORY, make_artifact
from coco_factory import write_split
from squares import write_folder

SCRIPTS = {path.stem: path for path in sorted((REPOSITORY / "examples").glob("*.py"))}
# What each is called with, after the model: data that it needs, files that it writes; and a line that it must print.
CALLS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "fcn": (
        lambda folder: [str(write_folder(folder / "train", 16)), str(write_folder(folder / "val", 4, first=100))],
        r"IoU of square: 0\.[4-9]",
    ),
    "mask_rcnn": (lambda folder: [str(path) for path in write_split(folder, 16, 4)], r"box AP50 0\.[3-9]"),
    "onnx_pyramid": (lambda folder: [str(folder / "pyramid.onnx")], r"res5 \(1, 96, 3, 5\): differs by \d\.\de-0[5-9]"),
    "pyramid": (lambda folder: [], r"stride 32: \(1, 96, 7, 7\)"),
    "smp_unet": (lambda folder: [], r"step 7: Dice loss 0\.[0-3]"),
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


def test_all_are_called() -> None:
    assert set(SCRIPTS) == set(CALLS)
    assert len(SCRIPTS) == 5


@pytest.mark.parametrize("name", CALLS)
def test_it_runs(name: str, artifact: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    arguments, expected = CALLS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPTS[name]), str(artifact), *arguments(tmp_path)])
    runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
    assert re.search(expected, capsys.readouterr().out)


@pytest.mark.parametrize("name", CALLS)
def test_it_says_how_it_is_called(name: str) -> None:
    assert f"`python examples/{name}.py " in SCRIPTS[name].read_text(encoding="utf-8").split('"""')[1]
