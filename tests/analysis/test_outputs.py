"""What `out=NAME` leaves, and the names in legends."""

import json
from pathlib import Path

import pytest

from ladder_hub.analysis.labels import short_names
from ladder_hub.analysis.outputs import place_for, write_outputs
from ladder_hub.cli.words import split
from ladder_hub.errors import UserError
from ladder_hub.plotting import new_figure


def test_three_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "a.png", "a.json"):
        assert place_for(str(tmp_path / "new" / name)) == tmp_path / "new" / "a"
    files = write_outputs(tmp_path / "new" / "a", {"n": 3, "ratio": None}, new_figure(2, 1))
    assert (
        sorted((tmp_path / "new").iterdir())
        == files
        == [tmp_path / "new" / f"a.{end}" for end in ("json", "png", "svg")]
    )
    assert json.loads(files[0].read_text()) == {"n": 3, "ratio": None}
    with pytest.raises(ValueError, match="JSON"):
        write_outputs(tmp_path / "b", {"n": float("nan")}, new_figure(2, 1))
    assert not list(tmp_path.glob("b*"))


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the name of the files, such as out="):
        place_for(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't be written: (Not a directory|File exists)"):
        place_for(str(tmp_path / "file" / "a"))


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["/data/runs/a", "random:/data/runs/a", "runs/b/artifact"], ["a", "random:a", "b"]),
        (["x/run", "y/run"], ["x/run", "y/run"]),
        (
            ["hf-hub:org/name", "timm:resnet50.a1_in1k", "ladder_byol_r50"],
            ["name", "timm:resnet50.a1_in1k", "ladder_byol_r50"],
        ),
        (["runs/a", "runs/a"], ["a", "a"]),
        (["runs/" + "a" * 40 + "z"], ["…" + "a" * 30 + "z"]),
    ],
)
def test_names_are_short_and_tell_models_apart(models: list[str], names: list[str]) -> None:
    assert short_names(models) == names


def test_models_and_settings_in_any_order() -> None:
    words = ["n=3", "runs/a=b", "data.images=hf:x?split=val", "random:resnet50", "out="]
    assert split(words) == (["runs/a=b", "random:resnet50"], ["n=3", "data.images=hf:x?split=val", "out="])
