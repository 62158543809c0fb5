"""The house: who may import whom. What loading weights must never bring in is in `test_models.py`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ladder_hub"

# A room may import itself, the rooms named here, and nothing else of ours.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "documents": {"errors"},
    "_shipped": set(),
    "__init__": {"models", "recipe", "training"},  # names that load on first use
    "__main__": {"cli"},
    # using weights
    "weights": {"documents", "errors"},
    "registry": {"_shipped", "documents", "errors"},
    "paper": {"_shipped"},
    "table_file": {"documents", "errors"},
    "ledger": {"_shipped", "documents", "errors", "paper", "settings", "table_file"},
    "backbone": {"errors"},
    "hub": {"documents", "errors"},
    "receipt": {"backbone", "documents", "registry", "weights"},
    "config": {"documents", "registry"},
    "mirror": {"config", "documents", "hub"},
    "pull": {"config", "documents", "errors", "hub", "mirror"},
    "location": {"config", "documents", "pull", "registry"},
    "models": {"backbone", "config", "location", "receipt", "registry"},
    "pyramid": {"backbone", "errors"},
    # training
    "settings": {"documents", "errors"},
    "progress": set(),
    "device": {"errors"},
    "runtime": {"device", "documents", "errors", "weights"},
    "siamese": {"backbone"},
    "data": {"documents", "errors"},
    "recipe_files": {"_shipped", "documents", "errors", "settings"},
    "recipe": {"documents", "recipe_files", "settings", "siamese"},
    # publishing
    "plotting": set(),
    "curves": {"plotting"},
    "metrics_file": {"documents", "errors"},
    "card": {"__init__", "backbone", "documents", "recipe"},
    "imported_card": {"card", "documents"},
    "artifact": {
        "__init__",
        "backbone",
        "card",
        "curves",
        "documents",
        "errors",
        "imported_card",
        "metrics_file",
        "models",
        "recipe",
        "settings",
        "weights",
    },
    # weights in and out of other tools' files
    "formats": {
        "artifact",
        "backbone",
        "data",
        "documents",
        "errors",
        "models",
        "progress",
        "pyramid",
        "settings",
        "weights",
    },
    # judging
    "downstream": {
        "__init__",
        "artifact",
        "backbone",
        "data",
        "device",
        "documents",
        "errors",
        "models",
        "progress",
        "pyramid",
        "receipt",
        "recipe",
        "recipe_files",
        "runtime",
        "settings",
        "weights",
    },
    "training": {
        "__init__",
        "artifact",
        "backbone",
        "data",
        "device",
        "downstream",
        "documents",
        "errors",
        "models",
        "progress",
        "recipe",
        "recipe_files",
        "runtime",
        "settings",
        "siamese",
        "weights",
    },
    "publishing": {
        "__init__",
        "artifact",
        "backbone",
        "card",
        "config",
        "data",
        "documents",
        "downstream",
        "errors",
        "hub",
        "location",
        "metrics_file",
        "models",
        "pull",
        "receipt",
        "recipe",
        "registry",
        "settings",
        "training",
        "weights",
    },
    # looking inside
    "analysis": {
        "_shipped",
        "artifact",
        "backbone",
        "card",
        "data",
        "device",
        "documents",
        "downstream",
        "errors",
        "ledger",
        "metrics_file",
        "models",
        "paper",
        "plotting",
        "progress",
        "recipe",
        "registry",
        "runtime",
        "settings",
        "siamese",
        "table_file",
        "training",
        "weights",
    },
    "check": {"analysis", "data", "downstream", "errors", "progress", "settings"},
    "sweeps": {
        "documents",
        "downstream",
        "errors",
        "models",
        "paper",
        "plotting",
        "progress",
        "recipe",
        "recipe_files",
        "registry",
        "runtime",
        "settings",
        "siamese",
        "table_file",
        "training",
        "weights",
    },
    "info": {"artifact", "backbone", "card", "documents", "models", "registry"},
    "cli": {
        "analysis",
        "check",
        "errors",
        "recipe_files",
        "training",
        "downstream",
        "registry",
        "info",
        "ledger",
        "formats",
        "publishing",
        "sweeps",
    },
}


def room(module: str) -> str:
    """`ladder_hub.data.loader` lies in the room `data`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "ladder_hub"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ladder_hub":
            names = [alias.name for alias in node.names]
            plain = node.module == "ladder_hub"
            found |= {f"ladder_hub.{name}" for name in names} if plain else {node.module}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
    return {room(name) for name in found}


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_is_in_the_table() -> None:
    rooms = {room("ladder_hub." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)) for path in FILES}
    assert rooms == set(ROOMS)
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    here = room("ladder_hub." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    assert imports(path) - {here} <= ROOMS[here]


def test_the_table_has_no_loop() -> None:
    order: list[str] = []
    pending = {name: set(below) - {"__init__"} for name, below in ROOMS.items()}
    while pending:
        free = [name for name, below in pending.items() if below <= set(order)]
        assert free, f"a loop among {sorted(pending)}"
        order += free
        pending = {name: below for name, below in pending.items() if name not in free}


def brought_in(modules: list[str]) -> set[str]:
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_costs_nothing() -> None:
    loaded = brought_in(["ladder_hub"])
    assert {name for name in loaded if name.startswith("ladder_hub")} == {"ladder_hub"}
    assert "torch" not in loaded
