import importlib.util
import inspect
import json
import shutil

import pytest
from artifact_factory import REPOSITORY, python

from ladder_hub.models import list_models


@pytest.fixture(scope="module")
def hubconf():
    spec = importlib.util.spec_from_file_location("hubconf", REPOSITORY / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The repository as torch.hub unpacks it."""
    folder = tmp_path_factory.mktemp("hub") / "org_ladder_main"
    folder.mkdir()
    shutil.copy(REPOSITORY / "hubconf.py", folder)
    for name in ("ladder_hub", "zoo", "recipes"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def entry_points(module):
    return {name: f for name, f in vars(module).items() if callable(f) and not name.startswith("_")}


def test_the_names_are_those_of_the_zoo(hubconf):
    assert set(entry_points(hubconf)) == {name.partition(".")[0] for name in list_models()}


def test_every_function_is_documented_and_takes_the_same(hubconf):
    for name, function in entry_points(hubconf).items():
        assert str(inspect.signature(function)) == "(pretrained=True, **kwargs)", name
        network = {"r50": "ResNet-50", "r18": "ResNet-18"}[name.rpartition("_")[2]]
        assert function.__doc__.startswith(network), name


def test_the_dependencies_are_names_that_import(hubconf):
    for name in hubconf.dependencies:
        assert importlib.util.find_spec(name) is not None


# Another copy that is on the path (an editable install) must not answer for the unpacked one.
HIDE = """
import json, sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if "site-packages" in p or not (Path(p or ".") / "ladder_hub").is_dir()]
import torch
"""
CHECK = """
import ladder_hub.pyramid  # a late import: torch.hub has taken its folder off sys.path by now
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "ladder_hub"]
files = [str(Path(module.__file__).resolve()) for module in ours]
try:
    load("ladder_byol_r18")
    message = ""
except Exception as error:
    message = f"{type(error).__name__}: {error}"
shapes = [tuple(t.shape) for t in model(torch.zeros(1, 3, 64, 64))]
print(json.dumps({"files": files, "message": message, "shapes": shapes, "path": sys.path}))
"""


def check(output, folder):
    answer = json.loads(output.splitlines()[-1])
    assert all(file.startswith(f"{folder.resolve()}/") for file in answer["files"])
    assert str(folder) not in answer["path"]
    assert answer["shapes"] == [[1, 64, 16, 16], [1, 128, 8, 8], [1, 256, 4, 4], [1, 512, 2, 2]]
    assert answer["message"].startswith("ModelError: ladder_byol_r18.in1k_200e: no weights are published")


def test_a_local_copy_loads_without_the_package_installed(unpacked, tmp_path):
    code = f"""{HIDE}
def load(name, **options):
    return torch.hub.load(sys.argv[1], name, source="local", **options)
model = load("ladder_byol_r18", pretrained=False, features_only=True)
{CHECK}"""
    check(python(code, unpacked, cwd=tmp_path, package=None), unpacked)


def test_the_unpacked_zip_loads_without_the_package_installed(unpacked, tmp_path):
    # GitHub's archive holds one folder, named after the commit.
    shutil.copytree(unpacked, tmp_path / "zip" / "org-ladder-0123abc")
    archive = shutil.make_archive(str(tmp_path / "main"), "zip", tmp_path / "zip", "org-ladder-0123abc")
    code = f"""{HIDE}
torch.hub._git_archive_link = lambda *_: Path(sys.argv[1]).as_uri()
options = {{"trust_repo": True, "skip_validation": True}}
assert len(torch.hub.list("org/ladder:main", verbose=False, **options)) == 8
assert "ImageNet-1k, 200 epochs" in torch.hub.help("org/ladder:main", "byol_r50", **options)
def load(name, **more):
    return torch.hub.load("org/ladder:main", name, **options, **more)
model = load("ladder_byol_r18", pretrained=False, features_only=True)
{CHECK}"""
    output = python(code, archive, cwd=tmp_path, package=None, TORCH_HOME=str(tmp_path / "torch"))
    check(output, tmp_path / "torch" / "hub" / "org_ladder_main")
