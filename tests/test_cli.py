"""The command line as a user meets it: real processes for what imports and statuses matter, else in this one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ladder_hub import cli
from ladder_hub.recipe import recipe_names
from ladder_hub.recipe_files import names
from ladder_hub.registry import list_models

RUN = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "data.image_size=32", "batch_size=8"]
RUN += ["micro_batch=8", "data.train=shapes:16", "data.val=shapes:8", "epochs=1", "optim.warmup_epochs=0"]
RUN += ["data.workers=0", "device=cpu", "precision=float32"]


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    return exit_.value.code


@pytest.mark.parametrize("words", [["--help"], ["list"], ["recipes"]])
def test_quick_verbs_import_no_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom ladder_hub.cli import main\n"
        f"try: main({words!r})\nexcept SystemExit as e: status = e.code\n"
        "heavy = [m for m in ('torch', 'timm', 'torchvision', 'matplotlib', 'huggingface_hub') if m in sys.modules]\n"
        "assert not heavy, heavy\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_help_names_every_verb(capsys) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    verbs = [command.name or command.callback.__name__ for command in cli.app.registered_commands]
    verbs += [group.name for group in cli.app.registered_groups]
    expected = "analyse check eval export gallery import info ledger list plan pull push recipes report reproduce sweep"
    assert sorted(verbs) == [*expected.split(), "train", "verify"]
    assert all(verb in text for verb in verbs)


@pytest.mark.parametrize("words", [[], ["eval"]])
def test_a_missing_verb_shows_the_help_and_nothing_else(words: list[str], capsys) -> None:
    assert call(*words) == 2
    shown = capsys.readouterr()
    assert "Usage" in shown.out + shown.err
    assert "ladder-hub: \n" not in shown.err


def test_recipes_and_list(capsys) -> None:
    assert call("recipes") == 0
    rows = [line.split(None, 2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows if row[1] == "train"] == recipe_names()
    assert [row[0] for row in rows][: len(recipe_names())] == recipe_names()
    assert [row[0] for row in rows if row[2].startswith("linear ")] == names("linear")
    assert call("list", "ladder*", "--json") == 0
    assert [row["model"] for row in json.loads(capsys.readouterr().out)] == list_models("ladder*")
    assert call("list", "nothing*") == 2
    assert capsys.readouterr().err == "ladder-hub: no model matches 'nothing*'; `ladder-hub list` shows all\n"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "mine"
    assert call("train", "recipe=tiny64_byol", *RUN, f"out={out}") == 0
    return out


def test_info_of_a_run(run_folder: Path, capsys) -> None:
    assert call("info", str(run_folder)) == 0
    text = capsys.readouterr().out
    for part in ("test_resnet", "byol", "res5.global x 1", "sha256", "knn:k16-t0.07", "shapes (16 images", "channels"):
        assert part in text
    assert call("info", str(run_folder), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [stage[:2] for stage in facts["stages"]] == [["res2", 4], ["res3", 8], ["res4", 16], ["res5", 32]]


def test_info_of_a_model_that_nobody_trained_yet(capsys) -> None:
    assert call("info", "ladder_dense_r18") == 0
    text = capsys.readouterr().out
    assert "recipe only" in text
    assert "ladder-hub train recipe=ladder_dense_200e model.backbone=resnet18" in text


def test_eval_knn_keeps_its_figures_with_the_artifact(run_folder: Path, capsys) -> None:
    """`stage=all` measures the four stages; the run's own images are the default, its baseline is kept."""
    keys = ["data.workers=0", "device=cpu"]
    assert call("eval", "knn", str(run_folder), "stage=all", "k=3", *keys) == 0
    assert "knn:k3-t0.07" in capsys.readouterr().out
    before = json.loads((run_folder / "artifact" / "metrics.json").read_text())
    assert call("eval", "knn", str(run_folder), "--json", "k=20", *keys) == 0
    found = json.loads(capsys.readouterr().out)
    after = json.loads((run_folder / "artifact" / "metrics.json").read_text())
    assert len(before) == len(after) == 2 + 8
    assert found[0]["value"] == before[0]["value"]
    assert found[0]["baseline"] == before[0]["baseline"] is not None
    card = (run_folder / "artifact" / "README.md").read_text()
    assert "knn:k3-t0.07" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "train takes recipe=NAME (`ladder-hub recipes` lists all), resume=FOLDER, or both"),
        (["train", "recipe=byol_200e", "resume=x"], "train takes recipe=NAME"),
        (["train", "recipe=byol_20e"], "no recipe 'byol_20e'; did you mean byol_200e?"),
        (["train", "recipe=byol_200e", "epoch=3"], "unknown key 'epoch'; did you mean epochs?"),
        (["train", "recipe=byol_200e"], "data.train is empty"),
        (["train", "resume=/no/run"], "resume=/no/run: no run there"),
        (["train", "--lr=3"], "No such option: --lr"),
        (
            ["train", "recipe=tiny64_byol", *RUN, "out=/dev/null/run"],
            "out=/dev/null/run can't be written: Not a directory",
        ),
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["eval", "knn"], "MODEL"),
        (["eval", "knn", "ladder_byol_r50"], "no weights are published"),
        (["eval", "knn", "nowhere/artifact"], "no folder nowhere/artifact"),
        (["eval", "knn", "x", "kk=3"], "unknown key 'kk'; did you mean k?"),
        (["info", "ladder_byl_r50"], "ladder_byol_r50"),
    ],
)
def test_errors_are_one_line_and_status_2(words: list[str], message: str, capsys) -> None:
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("ladder-hub: ")
    assert error.count("\n") == 1


def test_failures_of_a_run_are_status_1(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.jpg").write_bytes(b"no picture")
    words = ["train", "recipe=tiny64_byol", *RUN, "data.val=", f"data.train={folder}", f"out={tmp_path / 'run'}"]
    assert call(*words) == 1
    error = capsys.readouterr().err
    assert "can't be decoded" in error
    assert error.count("\n") == error.count("skipped ") + 3  # two lines of headline, and the error's one


def test_our_own_errors_are_one_line_and_debug_shows_where(monkeypatch, capsys) -> None:
    def fails(*_: object) -> None:
        raise ValueError("of ours")

    monkeypatch.setattr("ladder_hub.registry.list_models", fails)
    assert call("list") == 1
    assert capsys.readouterr().err == (
        "ladder-hub: ValueError: of ours (an error of ladder-hub's own; --debug shows where)\n"
    )
    with pytest.raises(ValueError, match="of ours"):
        cli.main(["list", "--debug"])
