"""The docs against the code: every command parses, every name exists, every snippet is Python."""

import re
import shlex
from pathlib import Path

import pytest
from artifact_factory import make_artifact

from ladder_hub import cli
from ladder_hub.recipe import load_recipe, recipe_names
from ladder_hub.siamese.levels import LEVELS
from ladder_hub.training.resume import SAFE_ON_RESUME

REPOSITORY = Path(__file__).parent.parent
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted(REPOSITORY.glob("docs/*.md"))]
TEXT = {str(page.relative_to(REPOSITORY)): page.read_text(encoding="utf-8") for page in PAGES}


def blocks(language: str) -> list[tuple[str, str]]:
    return [(name, body) for name, text in TEXT.items() for body in re.findall(rf"```{language}\n(.*?)```", text, re.S)]


def commands() -> list[str]:
    """Every `ladder-hub ...` in a shell block or between backticks, whatever starts it (torchrun, srun)."""
    lines = [line for _, body in blocks("sh") for line in body.replace("\\\n", "").splitlines()]
    lines += [code for text in TEXT.values() for code in re.findall(r"`(ladder-hub [a-z][^`]*)`", text)]
    lines = [re.sub(r"^(torchrun .*-m ladder_hub|srun ladder-hub) ", "ladder-hub ", line) for line in lines]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("ladder-hub ")]


def test_what_was_found() -> None:
    assert list(TEXT) == [
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "docs/analysis.md",
        "docs/evaluation.md",
        "docs/evidence.md",
        "docs/hub.md",
        "docs/interop.md",
        "docs/report.md",
        "docs/runs.md",
        "docs/sweeps.md",
    ]
    assert len(commands()) >= 13
    assert len(blocks("python")) == 6


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command: str) -> None:
    words = shlex.split(command)[1:]
    verbs = {c.name or c.callback.__name__ for c in cli.app.registered_commands} | {"analyse", "eval"}
    assert words[0] in verbs
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if words[0] == "train" and "recipe" in settings:
        name = settings.pop("recipe")
        settings.pop("resume", None)
        load_recipe(name, [f"{key}={value}" for key, value in settings.items()])


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Path:
    """A folder in which the quickstart has run, as far as its artifact."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs" / "quickstart").mkdir(parents=True)
    make_artifact(folder / "runs" / "quickstart" / "artifact")
    return folder


@pytest.mark.parametrize(("page", "body"), blocks("python"))
def test_every_snippet_runs(page: str, body: str, quickstart: Path, monkeypatch) -> None:
    monkeypatch.chdir(quickstart)
    exec(compile(body, page, "exec"), {})


def test_the_readme_names_every_verb_method_and_recipe() -> None:
    readme = TEXT["README.md"]
    for command in cli.app.registered_commands:
        assert f"ladder-hub {command.name or command.callback.__name__}" in readme
    for name in [*LEVELS, *recipe_names()]:
        assert name in readme, name


def test_the_keys_that_may_change_are_those_of_the_code() -> None:
    told = TEXT["docs/runs.md"].split("These can: ")[1].split(". ")[0]
    assert re.findall(r"`([\w.]+)`", told) == list(SAFE_ON_RESUME)


def test_paths_in_the_tree_exist() -> None:
    tree = TEXT["README.md"].split("## What is where")[1]
    paths = [name for name in re.findall(r"[\w/]+(?:/|\.py|\.toml)", tree) if not name.startswith("arxiv")]
    assert len(paths) > 15
    for name in paths:
        assert (REPOSITORY / name).exists() or (REPOSITORY / "ladder_hub" / name).exists(), name


@pytest.mark.parametrize("name", TEXT)
def test_no_path_of_a_machine(name: str) -> None:
    assert not re.search(r"/(work|home|root|tmp)/", TEXT[name])
