import functools
import importlib.util
import inspect
import json
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from artifact_factory import REPOSITORY, make_artifact, python

from ladder_hub.models import list_models
from ladder_hub.weights import file_sha256


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
    ship(folder)
    return folder


def ship(folder):
    """Small weights beside their card, and a function for them."""
    model = make_artifact(folder / "zoo" / "shipped_r10.in1k_200e")
    with (folder / "zoo" / "index.toml").open("a") as index:
        index.write(
            '\n["shipped_r10.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "tiny64_byol"\nstatus = "shipped"\n'
            f'sha256 = "{file_sha256(model / "model.safetensors")}"\nlicense = "apache-2.0"\n'
        )
    with (folder / "hubconf.py").open("a") as hubconf:
        hubconf.write(
            '\n\ndef shipped_r10(pretrained=True, **kwargs):\n    return _create("shipped_r10", pretrained, kwargs)\n'
        )


def entry_points(module):
    return {name: f for name, f in vars(module).items() if callable(f) and not name.startswith("_")}


def test_the_names_are_those_of_the_zoo(hubconf):
    assert set(entry_points(hubconf)) == {name.partition(".")[0] for name in list_models()}


def test_every_function_is_documented_and_takes_the_same(hubconf):
    for name, function in entry_points(hubconf).items():
        assert str(inspect.signature(function)) == "(pretrained=True, **kwargs)", name
        network = {"r50": "ResNet-50", "r18": "ResNet-18", "resnet": "A small ResNet"}[name.rpartition("_")[2]]
        assert function.__doc__.startswith(network), name


def test_the_dependencies_are_names_that_import(hubconf):
    for name in hubconf.dependencies:
        assert importlib.util.find_spec(name) is not None


# Another copy that is on the path (an editable install) must not answer for the unpacked one; and a user of torch.hub
# need not have what training and the command line use.
ONLY = """
import json, sys
from pathlib import Path
sys.path[:] = [p for p in sys.path if "site-packages" in p or not (Path(p or ".") / "ladder_hub").is_dir()]
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "pydantic", "rich", "tensorboard", "typer", "webdataset"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
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
verified = load("shipped_r10").load_receipt.verified
print(json.dumps({"files": files, "message": message, "shapes": shapes, "path": sys.path, "verified": verified}))
"""


def check(output, folder):
    answer = json.loads(output.splitlines()[-1])
    assert all(file.startswith(f"{folder.resolve()}/") for file in answer["files"])
    assert str(folder) not in answer["path"]
    assert answer["shapes"] == [[1, 64, 16, 16], [1, 128, 8, 8], [1, 256, 4, 4], [1, 512, 2, 2]]
    assert answer["message"].startswith("ModelError: ladder_byol_r18.in1k_200e: no weights are published")
    assert answer["verified"]


def test_a_local_copy_loads_without_the_package_installed(unpacked, tmp_path):
    code = f"""{ONLY}
def load(name, **options):
    return torch.hub.load(sys.argv[1], name, source="local", **options)
model = load("ladder_byol_r18", pretrained=False, features_only=True)
{CHECK}"""
    check(python(code, unpacked, cwd=tmp_path, package=None), unpacked)


@pytest.fixture
def github(unpacked, tmp_path):
    """The address of a zip as GitHub makes it: one folder, named after the commit."""
    shutil.copytree(unpacked, tmp_path / "zip" / "org-ladder-0123abc")
    shutil.make_archive(str(tmp_path / "served" / "main"), "zip", tmp_path / "zip", "org-ladder-0123abc")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/main.zip"
        server.shutdown()
        thread.join()


def test_the_served_zip_loads_lists_and_helps_without_the_package_installed(github, tmp_path):
    code = f"""{ONLY}
torch.hub._git_archive_link = lambda *_: sys.argv[1]
options = {{"trust_repo": True, "skip_validation": True}}
assert len(torch.hub.list("org/ladder:main", verbose=False, **options)) == 13
assert "ImageNet-1k, 200 epochs" in torch.hub.help("org/ladder:main", "byol_r50", **options)
def load(name, **more):
    return torch.hub.load("org/ladder:main", name, **options, **more)
model = load("ladder_byol_r18", pretrained=False, features_only=True)
{CHECK}"""
    output = python(code, github, cwd=tmp_path, package=None, TORCH_HOME=str(tmp_path / "torch"), NO_PROXY="127.0.0.1")
    check(output, tmp_path / "torch" / "hub" / "org_ladder_main")
