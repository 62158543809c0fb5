"""A model's folder from a Hub: complete, of one commit, and the bytes that were published, whatever goes wrong."""

import hashlib
import json
import shutil

import pytest
from artifact_factory import make_artifact, python
from fake_hub import Fault
from fake_hub.clients import variables

from ladder_hub.hub import HubError
from ladder_hub.models import create_model
from ladder_hub.pull import pull
from ladder_hub.weights import file_sha256

OWNER, OTHER = "hf_owner_of_org", "hf_some_other_user"
COMMIT = "a1" * 20
PULL = """
import sys
from ladder_hub.errors import UserError
from ladder_hub.pull import pull
for name in sys.argv[1:]:
    repository, _, revision = name.partition("@")
    try:
        folder = pull(repository, revision or None)
        print(folder.name, *sorted(path.name for path in folder.iterdir()))
    except UserError as error:
        print(error)
"""
LOAD = """
import sys, ladder_hub
from ladder_hub.errors import UserError
for name in sys.argv[1:]:
    try:
        receipt = ladder_hub.create_model(name, features_only=True).load_receipt
        print(receipt.sha256, receipt.verified)
    except UserError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


@pytest.fixture
def sha256(artifact):
    return file_sha256(artifact / "model.safetensors")


@pytest.fixture
def mine(hub, artifact):
    """org/mine as a push left it."""
    return hub.create("org/mine", **{path.name: path.read_bytes() for path in artifact.iterdir()})


@pytest.fixture
def cache(artifact, tmp_path):
    """A cache of huggingface_hub that holds org/mine, as its layout is documented."""
    repository = tmp_path / "cache" / "models--org--mine"
    shutil.copytree(artifact, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "refs" / "v1").write_text(COMMIT)
    return tmp_path / "cache"


@pytest.mark.parametrize("revision", [None, "main", "v1", COMMIT])
def test_what_is_cached_needs_no_network(cache, revision):
    folder = pull("org/mine", revision, cache)
    assert folder == cache / "models--org--mine" / "snapshots" / COMMIT
    name = "hf-hub:org/mine" + (f"@{revision}" if revision else "")
    receipt = create_model(name, features_only=True, cache_dir=cache).load_receipt
    assert (receipt.source, receipt.verified) == (name, True)


def test_a_cached_config_without_weights_is_one_line(cache):
    (cache / "models--org--mine" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(
        HubError, match=r"^hf-hub:org/mine@a1a1\w*: model.safetensors: not in the cache .*HF_HUB_OFFLINE"
    ):
        pull("org/mine", None, cache)


def test_damage_in_the_cache_without_a_network_is_refused(cache):
    weights = cache / "models--org--mine" / "snapshots" / COMMIT / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(
        HubError, match=r"safetensors is not what was published \(sha256 .*; it can't be fetched again: "
    ):
        pull("org/mine", None, cache)


def test_the_named_files_come_and_no_other(hub, clients, mine, tmp_path, sha256):
    mine.add({"pytorch_model.bin": b"a pickle", "evil.py": b"import os", "../../outside": b"x", "/etc/x": b"x"})
    mine.tags["v1"] = mine.refs["main"]
    del hub.repository("org/mine").trees[mine.refs["main"]]["provenance.json"]
    said = clients.run(PULL, "org/mine", "org/mine@v1", "org/mine", home=tmp_path).splitlines()
    names = "README.md config.json curves.png metrics.json model.safetensors recipe.toml"
    assert said == [f"{mine.refs['main']} {names}"] * 3
    # The branch is asked for once; everything after that is of the commit it stood at.
    asked = [asked.path for asked in hub.asked if asked.path.startswith("/org/mine/resolve/")]
    assert {path.split("/")[4] for path in asked} == {"main", "v1", mine.refs["main"]}
    assert not [path for path in asked if path.endswith((".bin", ".py", "outside", "x"))]
    assert hub.count("GET", sha256) == hub.count("GET", "/config.json") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub"]


def test_a_private_model_with_and_without_the_login(hub, clients, mine, tmp_path, sha256):
    mine.private = True
    for token in ("", OTHER):
        said = clients.run(LOAD, "hf-hub:org/mine", home=tmp_path, token=token)
        assert said.startswith("hf-hub:org/mine: no such repository, or a private one")
    assert clients.run(LOAD, "hf-hub:org/mine", home=tmp_path, token=OWNER) == f"{sha256} True\n"


def test_two_revisions_side_by_side(hub, clients, mine, tmp_path, artifact):
    first = mine.refs["main"]
    mine.add({"README.md": b"another card"})
    said = clients.run(PULL, f"org/mine@{first}", "org/mine", home=tmp_path).splitlines()
    assert [line.split()[0] for line in said] == [first, mine.refs["main"]]
    assert hub.count("GET", file_sha256(artifact / "model.safetensors")) == 1


@pytest.mark.parametrize(("kind", "times"), [("cut", 1), ("unavailable", 1), ("corrupt", 1), ("cut", 3)])
def test_passing_faults_leave_nothing_behind(hub, clients, mine, tmp_path, sha256, kind, times):
    hub.faults.append(Fault(kind, sha256, times))
    assert clients.run(LOAD, "hf-hub:org/mine", home=tmp_path) == f"{sha256} True\n"
    hub.asked.clear()
    assert clients.run(LOAD, "hf-hub:org/mine", home=tmp_path) == f"{sha256} True\n"
    assert hub.count("GET", sha256) == 0


def test_lasting_corruption_is_refused_and_not_kept(hub, clients, mine, tmp_path, sha256):
    hub.faults.append(Fault("corrupt", sha256, 9))
    said = clients.run(LOAD, "hf-hub:org/mine", home=tmp_path)
    assert said.startswith("hf-hub:org/mine: model.safetensors is not what was published (sha256 ")
    assert said.endswith("nor is it after a fresh download; it is refused and removed from the cache\n")
    assert hub.faults[0].times == 7
    hub.faults.clear()
    assert clients.run(LOAD, "hf-hub:org/mine", home=tmp_path) == f"{sha256} True\n"


def test_timm_alone_takes_the_corrupted_file_without_a_word(hub, clients, mine, tmp_path, sha256):
    # The reason for all of this; when the client or timm start to refuse it, the check may go.
    hub.faults.append(Fault("corrupt", sha256, 1))
    code = "import timm; timm.create_model('hf-hub:org/mine', pretrained=True); print('loaded')"
    assert clients.run(code, home=tmp_path) == "loaded\n"
    assert hub.count("GET", sha256) == 1
    assert clients.run(LOAD, "hf-hub:org/mine", home=tmp_path) == f"{sha256} True\n"
    assert hub.count("GET", sha256) == 2


def test_a_damaged_card_is_fetched_again_too(hub, clients, mine, tmp_path):
    hub.faults.append(Fault("corrupt", "/README.md"))
    clients.run(PULL, "org/mine", home=tmp_path)
    assert hub.count("GET", "/README.md") == 2
    card = next(tmp_path.rglob("README.md"))
    assert card.read_bytes() == mine.files()["README.md"]


def test_a_complete_model_does_not_fail_for_its_card(hub, clients, mine, tmp_path):
    hub.faults.append(Fault("unavailable", "/README.md", 9))
    said = clients.run(PULL, "org/mine", home=tmp_path)
    assert said.split()[1:] == ["config.json", "model.safetensors"]


def test_others_models_come_without_our_files(hub, clients, mine, tmp_path):
    config = json.loads(mine.files()["config.json"])
    del config["ladder_hub"]
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": mine.files()["model.safetensors"]}
    hub.create("org/other", **files)
    hub.create("org/pickle", **{"config.json": b"{}", "pytorch_model.bin": b""})
    hub.create("org/empty", **{"README.md": b""})
    lines = clients.run(PULL, "org/other", "org/pickle", "org/empty", home=tmp_path).splitlines()
    assert lines[0].split()[1:] == ["config.json", "model.safetensors"]
    assert lines[1].endswith("model.safetensors is not in the repository; a pickle (.bin) is not taken")
    assert lines[2] == "hf-hub:org/empty: config.json is not in the repository; not a timm model"
    assert clients.run(LOAD, "hf-hub:org/other", home=tmp_path).endswith(" False\n")


def test_eight_processes_at_once_download_once(hub, clients, mine, tmp_path, sha256):
    started = [clients.start(LOAD, "hf-hub:org/mine", home=tmp_path) for _ in range(8)]
    assert [process.result() for process in started] == [f"{sha256} True\n"] * 8
    assert hub.count("GET", sha256) == hub.count("GET", "/config.json") == 1


def test_eight_processes_at_once_repair_once(hub, clients, mine, tmp_path, sha256):
    hub.faults.append(Fault("corrupt", sha256))
    started = [clients.start(PULL, "org/mine", home=tmp_path) for _ in range(8)]
    assert {process.result().split()[0] for process in started} == {mine.refs["main"]}
    assert hub.count("GET", sha256) == 2
    (weights,) = {path.resolve() for path in tmp_path.rglob("model.safetensors")}
    assert file_sha256(weights) == sha256


def test_the_token_stays_with_the_hub(hub, clients, mine, tmp_path, sha256):
    mine.private = True
    process = clients.start(LOAD, "hf-hub:org/mine", home=tmp_path, token=OWNER)
    assert process.result() == f"{sha256} True\n"
    assert process.errors == ""
    stored = [asked for asked in hub.asked if asked.host.startswith("localhost")]
    assert stored
    assert not [asked for asked in stored if OWNER in str(asked.headers)]
    assert {asked.headers["authorization"] for asked in hub.asked if asked not in stored} == {f"Bearer {OWNER}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and OWNER.encode() in path.read_bytes()]
    assert written == []


def test_a_config_names_no_code(hub, clients, mine, tmp_path):
    config = json.loads(mine.files()["config.json"])
    (tmp_path / "evil.py").write_text("open('evil-ran', 'w')")
    names = {"auto_map": {"AutoModel": "evil.Model"}, "custom_load": "evil:load", "module": "evil"}
    changes = [
        names,
        {"architecture": "evil:Model"},
        {"architecture": "evil.Model"},
        {"model_args": {"act_layer": "evil.act", "norm_layer": "evil:norm"}},
        {"model_args": {"block": "evil.Block"}},
        {"pretrained_cfg": config["pretrained_cfg"] | names},
        {"ladder_hub": config["ladder_hub"] | names},
    ]
    for number, change in enumerate(changes):
        hub.create(f"org/evil{number}", **mine.files() | {"config.json": json.dumps(config | change).encode()})
    asked = [f"hf-hub:org/evil{number}" for number in range(len(changes))]
    code = f"{LOAD}print('evil' in sys.modules)"
    *answers, imported = clients.run(code, *asked, home=tmp_path, PYTHONPATH=str(tmp_path)).splitlines()
    assert [answer.endswith(" True") for answer in answers] == [True, False, False, False, False, False, True]
    assert imported == "False"
    assert not (tmp_path / "evil-ran").exists()


def test_from_the_cache_in_a_fresh_process_without_a_network(hub, clients, mine, tmp_path):
    clients.run(PULL, "org/mine", home=tmp_path)
    hub.asked.clear()
    offline = variables(hub.endpoint, tmp_path) | {"HF_HUB_OFFLINE": "1"}
    said = python(PULL, "org/mine", "org/mine@v9", cwd=tmp_path, **offline).splitlines()
    assert said[0].startswith(mine.refs["main"])
    assert said[1].startswith("hf-hub:org/mine@v9: config.json: not in the cache ")
    assert hub.asked == []


def test_damage_in_a_cache_that_cannot_be_written_is_named(tmp_path):
    """Not the Hub, and not a lock: the damaged file, and what to do."""
    snapshot = tmp_path / "models--org--model" / "snapshots" / ("a" * 40)
    for folder in (snapshot, snapshot.parent.parent / "blobs", snapshot.parent.parent / "refs"):
        folder.mkdir(parents=True)
    (snapshot.parent.parent / "refs" / "main").write_text("a" * 40)
    for path in make_artifact(tmp_path / "made").iterdir():
        data = path.read_bytes()
        blob = snapshot.parent.parent / "blobs" / hashlib.sha256(data).hexdigest()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if path.name == "model.safetensors" else data)
        (snapshot / path.name).symlink_to(blob)
    (tmp_path / ".locks").write_text("a file: nobody can make a folder of this name, root neither")
    with pytest.raises(HubError, match=r"model.safetensors is not what was published .* remove it there") as error:
        create_model("hf-hub:org/model", cache_dir=tmp_path)
    assert "\n" not in str(error.value)
