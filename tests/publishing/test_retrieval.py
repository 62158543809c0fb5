"""`pull`: one model or all of them, verified, in the cache or as plain copies."""

import shutil

import pytest
from artifact_factory import make_artifact
from fake_hub import Fault

from ladder_hub.errors import UserError
from ladder_hub.publishing.retrieval import retrieve
from ladder_hub.weights import file_sha256

CLI = """
import sys
from pathlib import Path
from ladder_hub import cli, registry
registry.shipped = lambda name: Path(sys.argv[1])
cli.main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


@pytest.fixture
def zoo(hub, artifact, tmp_path):
    """Two published models and one that is a recipe only."""
    sha256 = file_sha256(artifact / "model.safetensors")
    files = {path.name: path.read_bytes() for path in artifact.iterdir()}
    lines = []
    for name in ("first_r10", "second_r10"):
        commit = hub.create(f"org/{name}", **files).refs["main"]
        lines.append(
            f'["{name}.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "x"\nstatus = "published"\n'
            f'repository = "org/{name}"\nrevision = "{commit}"\nsha256 = "{sha256}"\n'
        )
    lines.append('["third_r10.in1k_200e"]\narchitecture = "test_resnet"\nrecipe = "x"\nstatus = "recipe only"\n')
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "index.toml").write_text("".join(lines))
    return tmp_path / "zoo"


def test_all_comes_for_a_machine_without_a_network(hub, clients, zoo, artifact, tmp_path):
    said = clients.run(CLI, zoo, "pull", "all=true", home=tmp_path / "home").splitlines()
    assert [line.split(" is verified: ")[0] for line in said] == ["first_r10.in1k_200e", "second_r10.in1k_200e"]
    # With the same cache, nothing is asked any more: each model is pinned to a commit.
    hub.asked.clear()
    copied = clients.run(CLI, zoo, "pull", "all=true", f"out={tmp_path}/stick", home=tmp_path / "home")
    assert hub.asked == []
    assert copied.splitlines()[1] == f"second_r10.in1k_200e is verified: {tmp_path}/stick/second_r10.in1k_200e"
    there = tmp_path / "stick" / "first_r10.in1k_200e"
    assert {path.name: path.read_bytes() for path in there.iterdir()} == {
        path.name: path.read_bytes() for path in artifact.iterdir()
    }
    assert not any(path.is_symlink() for path in there.iterdir())


def test_names_from_the_repository_do_not_leave_the_folder(hub, clients, zoo, artifact, tmp_path):
    evil = {"../../outside": b"x", "/tmp/absolute": b"x", "a/../../up": b"x", "pytorch_model.bin": b"x"}
    hub.repository("org/first_r10").add(evil)
    clients.run(CLI, zoo, "pull", "org/first_r10", f"out={tmp_path}/deep/back", home=tmp_path / "home")
    names = {path.name for path in artifact.iterdir()}
    assert {path.name for path in (tmp_path / "deep" / "back").iterdir()} == names
    assert {path.name for path in tmp_path.iterdir()} == {"zoo", "home", "deep"}


def test_a_damaged_download_is_never_copied(hub, clients, zoo, artifact, tmp_path):
    hub.faults.append(Fault("corrupt", file_sha256(artifact / "model.safetensors"), 9))
    process = clients.start(CLI, zoo, "pull", "org/first_r10", f"out={tmp_path}/back", home=tmp_path / "home")
    assert process.result(2) == ""
    assert "is refused and removed from the cache" in process.errors
    assert not (tmp_path / "back").exists()


def test_a_folder_with_other_things_is_not_overwritten(clients, zoo, artifact, tmp_path):
    shutil.copytree(artifact, tmp_path / "back")
    words = ("pull", "org/first_r10", f"out={tmp_path}/back")
    clients.run(CLI, zoo, *words, home=tmp_path / "home")
    (tmp_path / "back" / "thesis.txt").write_text("mine")
    process = clients.start(CLI, zoo, *words, home=tmp_path / "home")
    assert process.result(2) == ""
    assert process.errors == f"ladder-hub: {tmp_path}/back holds other things; give a new folder for out=\n"
    assert (tmp_path / "back" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((None, ()), "pull takes one model (org/name, org/name@revision, a name of the zoo) or all=true"),
        (("org/mine", ("all=true",)), "pull takes one model (org/name, org/name@revision, a name of the zoo) or all"),
        ((None, ("all=true",)), "no model of the zoo has published weights yet"),
        (("ladder_byol_r50", ()), "ladder_byol_r50.in1k_200e: no weights are published"),
        (("org/mine", ("output=x",)), "unknown key 'output'; did you mean out?"),
    ],
)
def test_what_was_typed_wrong_is_one_line(words, text, tmp_path, monkeypatch):
    monkeypatch.setattr("ladder_hub.registry.shipped", lambda name: empty(tmp_path))
    with pytest.raises(UserError) as error:
        retrieve(*words)
    assert str(error.value).startswith(text)


def empty(folder):
    keys = 'architecture = "resnet50"\nrecipe = "ladder_byol_200e"\nstatus = "recipe only"\n'
    (folder / "index.toml").write_text(f'["ladder_byol_r50.in1k_200e"]\n{keys}')
    return folder
