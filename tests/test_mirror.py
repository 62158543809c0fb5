"""The second address: believed for its digest and for nothing else."""

import json
import shutil

import pytest
from artifact_factory import make_artifact
from fake_hub import Fault

from ladder_hub.weights import file_sha256

OWNER = "hf_owner_of_org"
CLOSED = "http://127.0.0.1:9"
LOAD = """
import sys, ladder_hub
from pathlib import Path
from ladder_hub import registry
from ladder_hub.errors import UserError
if len(sys.argv) > 2:
    registry.shipped = lambda name: Path(sys.argv[2])
try:
    receipt = ladder_hub.create_model(sys.argv[1], True, features_only=True).load_receipt
    print(receipt.sha256, receipt.verified)
except UserError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


@pytest.fixture(scope="module")
def sha256(artifact):
    return file_sha256(artifact / "model.safetensors")


@pytest.fixture
def zoo(artifact, sha256, tmp_path):
    """A zoo that names org/mine; its card and config are here, its weights are not."""
    folder = tmp_path / "zoo"
    keep = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(artifact, folder / "mine_r10.in1k_200e", ignore=keep)
    (folder / "index.toml").write_text(
        '["mine_r10.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "tiny64_byol"\nstatus = "published"\n'
        f'repository = "org/mine"\nrevision = "{"c" * 40}"\nsha256 = "{sha256}"\nlicense = "apache-2.0"\n'
    )
    return folder


@pytest.fixture
def mirror(hub, artifact, sha256):
    hub.store.mirror[f"{sha256}.safetensors"] = (artifact / "model.safetensors").read_bytes()
    return hub.mirror


def test_without_the_repository_the_mirror_gives_the_same_digest(hub, clients, zoo, mirror, tmp_path, sha256):
    home = tmp_path / "home"
    said = clients.run(LOAD, "mine_r10", zoo, home=home, token=OWNER, LADDER_HUB_MIRROR=mirror)
    assert said == f"{sha256} True\n"
    (asked,) = [asked for asked in hub.asked if asked.path.startswith("/mirror/")]
    assert OWNER not in str(asked.headers)
    hub.asked.clear()
    # It is kept under its digest: neither address is asked again.
    assert clients.run(LOAD, "mine_r10", zoo, home=home, LADDER_HUB_MIRROR=CLOSED) == f"{sha256} True\n"
    assert hub.asked == []


def test_other_content_under_the_same_name_is_refused(hub, clients, zoo, mirror, tmp_path, sha256):
    hub.faults.append(Fault("corrupt", f"{sha256}.safetensors", 9))
    said = clients.run(LOAD, "mine_r10", zoo, home=tmp_path / "home", LADDER_HUB_MIRROR=mirror)
    assert said.startswith("hf-hub:org/mine@cccc")
    assert f"; nor from the mirror {mirror} (other content there: sha256 " in said
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    hub.faults.clear()
    assert clients.run(LOAD, "mine_r10", zoo, home=tmp_path / "home", LADDER_HUB_MIRROR=mirror) == f"{sha256} True\n"


def test_weights_alone_that_the_hub_fails_to_give(hub, clients, artifact, mirror, tmp_path, sha256):
    hub.create("org/mine", **{path.name: path.read_bytes() for path in artifact.iterdir()})
    hub.faults.append(Fault("corrupt", f"/objects/{sha256}", 9))
    said = clients.run(LOAD, "hf-hub:org/mine", home=tmp_path, LADDER_HUB_MIRROR=mirror)
    assert said == f"{sha256} True\n"


def test_without_a_digest_the_mirror_is_not_believed(hub, clients, artifact, mirror, tmp_path):
    said = clients.run(LOAD, "hf-hub:org/mine", home=tmp_path, LADDER_HUB_MIRROR=mirror)
    assert said.endswith("; the mirror was not asked: no digest is known to check it by\n")
    config = json.loads((artifact / "config.json").read_text())
    del config["ladder_hub"]["sha256"]
    hub.create("org/mine", **{"config.json": json.dumps(config).encode(), "model.safetensors": b"x" * 100})
    hub.faults.append(Fault("unavailable", "/model.safetensors", 99, method="HEAD"))
    said = clients.run(LOAD, "hf-hub:org/mine", home=tmp_path, LADDER_HUB_MIRROR=mirror)
    assert said.endswith("; the mirror was not asked: no digest is known to check it by\n")
    assert not [asked for asked in hub.asked if asked.path.startswith("/mirror/")]


def test_a_folder_is_a_mirror_too_and_what_is_not_there_is_said(clients, zoo, artifact, tmp_path, sha256):
    home, folder = tmp_path / "home", tmp_path / "stick"
    folder.mkdir()
    said = clients.run(LOAD, "mine_r10", zoo, home=home, LADDER_HUB_MIRROR=str(folder))
    assert said.startswith("hf-hub:org/mine@cccc")
    assert f"nor from the mirror {folder} (" in said
    assert "No such file" in said
    shutil.copy(artifact / "model.safetensors", folder / f"{sha256}.safetensors")
    assert clients.run(LOAD, "mine_r10", zoo, home=home, LADDER_HUB_MIRROR=str(folder)) == f"{sha256} True\n"


def test_a_password_in_the_address_is_not_shown(clients, zoo, tmp_path):
    address = "http://user:secret@127.0.0.1:9/a?sig=private"
    said = clients.run(LOAD, "mine_r10", zoo, home=tmp_path / "home", LADDER_HUB_MIRROR=address)
    assert "nor from the mirror http://127.0.0.1:9/a (" in said
    assert "secret" not in said
    assert "private" not in said.replace("a private one", "")


def test_eight_processes_at_once_ask_the_mirror_once(hub, clients, zoo, mirror, tmp_path, sha256):
    words = (LOAD.replace(", features_only=True", ""), "mine_r10", zoo)
    started = [clients.start(*words, home=tmp_path / "home", LADDER_HUB_MIRROR=mirror) for _ in range(8)]
    assert [process.result() for process in started] == [f"{sha256} True\n"] * 8
    assert hub.count("GET", f"{sha256}.safetensors") == 1
