"""The wheel, installed elsewhere, finds its recipes and zoo; so does the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ladder_hub._shipped import shipped
from ladder_hub.recipe import recipe_names
from ladder_hub.registry import list_models

REPOSITORY = Path(__file__).parent.parent


def build(repository: Path, folder: Path) -> Path:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(words, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(REPOSITORY, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_recipes_zoo_types_and_no_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    recipes = list((REPOSITORY / "recipes").rglob("*.toml"))
    assert sum(name.startswith("ladder_hub/recipes/") and name.endswith(".toml") for name in names) == len(recipes)
    assert {f"ladder_hub/zoo/{name}.toml" for name in ("claims", "index", "ledger", "paper")} <= set(names)
    runs = sorted((REPOSITORY / "zoo" / "runs").glob("*.json"))
    assert len(runs) >= 1
    assert {f"ladder_hub/zoo/runs/{path.name}" for path in runs} <= set(names)
    assert {f"ladder_hub/analysis/pages/{name}" for name in ("page.css", "sort.js", "theme.js")} <= set(names)
    assert "ladder_hub/py.typed" in names
    assert all(name.startswith("ladder_hub") for name in names)
    sizes = {item.filename: item.file_size for item in zipfile.ZipFile(wheel).infolist()}
    weights = {name for name in sizes if name.endswith(".safetensors")}
    assert weights == {f"ladder_hub/zoo/{name}/model.safetensors" for name in list_models(pretrained=True)}
    assert max(size for name, size in sizes.items() if name not in weights) < 200_000


def test_an_installed_wheel_lists_recipes_and_loads_models(wheel: Path, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path),
        str(wheel),
    ]
    subprocess.run(words, check=True, capture_output=True)
    code = (
        "import ladder_hub, ladder_hub.recipe as r, ladder_hub.registry as m, ladder_hub._shipped as s\n"
        "print(ladder_hub.__file__); print(s.shipped('recipes'))\n"
        "print(*r.recipe_names()); print(*m.list_models()); r.load_recipe('quickstart')\n"
        "model = ladder_hub.create_model('ladder_byol_test_resnet', pretrained=True)\n"
        "print(model.load_receipt.verified)"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd="/", env=env, capture_output=True, text=True, check=True)
    package, recipes, names, models, verified = done.stdout.splitlines()
    assert Path(package).is_relative_to(tmp_path)
    assert Path(recipes) == tmp_path / "ladder_hub" / "recipes"
    assert names.split() == recipe_names()
    assert models.split() == list_models()
    assert verified == "True"


def test_a_checkout_finds_them_at_its_root() -> None:
    assert shipped("recipes") == REPOSITORY / "recipes"
    assert shipped("zoo") == REPOSITORY / "zoo"
