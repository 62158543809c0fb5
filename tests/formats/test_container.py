"""Files that somebody else wrote: read for their tensors, or refused in one line, and never run."""

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import dill
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder_hub.errors import UserError
from ladder_hub.formats import FormatError
from ladder_hub.formats.container import read_checkpoint
from ladder_hub.weights import file_sha256

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


class Trap:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_checkpoint(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.ckpt", "x.torch", "x.pth.tar", "x.safetensors", "x.npz", "x"])
@pytest.mark.parametrize("kind", ["torch", "legacy", "safetensors", "npz"])
def test_the_first_bytes_say_what_a_file_is_not_its_name(name, kind, tmp_path):
    path = tmp_path / name
    if kind == "safetensors":
        safetensors.torch.save_file(TENSORS, path)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **{key: tensor.numpy() for key, tensor in TENSORS.items()})
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "torch")
    found = read_checkpoint(path)
    assert found.sha256 == file_sha256(path)
    assert found.table("").keys() == TENSORS.keys()
    assert all(torch.equal(tensor, TENSORS[key]) for key, tensor in found.table("").items())


def test_tables_lie_in_one_another(tmp_path):
    content = {"a": {"b": {"w": torch.ones(2), "n": 3}}, "opt": [{"m": torch.ones(1)}], "epoch": 3}
    torch.save(content, tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth")
    assert list(found.table("a.b")) == ["w"]
    assert (found.table("a.c"), found.table("epoch"), found.table("")) == ({}, {}, {})
    assert found.elsewhere("a.b") == {"opt": 1}
    assert found.elsewhere("opt") == {"a": 1, "0": 1}


def test_a_table_that_holds_itself_has_an_end(tmp_path):
    content: dict = {"w": torch.ones(1)}
    content |= {f"{number}": content for number in range(50)}
    torch.save(content, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth").elsewhere("none") == {"w": 1}


def test_a_namespace_of_arguments_is_no_obstacle(tmp_path):
    torch.save(
        {"model": TENSORS, "opt": argparse.Namespace(lr=0.1, nested=argparse.Namespace(x=1))}, tmp_path / "x.pth"
    )
    assert read_checkpoint(tmp_path / "x.pth").table("model").keys() == TENSORS.keys()


@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_needs_more_is_refused_with_the_reason_and_not_run(new, tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"state_dict": TENSORS, "x": Trap(tmp_path / "run")}, path, _use_new_zipfile_serialization=new)
    text = refusal(path)
    assert text.startswith("needs more than tensors to be read: it holds posix.mkdir")
    assert text.endswith("torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'tensors.pth')")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("library", [pickle, dill])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_is_refused_unopened(library, protocol, tmp_path):
    path = tmp_path / "pretrain_res50x1.pkl"
    path.write_bytes(library.dumps({"experiment_state": Trap(tmp_path / "run")}, protocol))
    text = refusal(path)
    assert text.startswith("a plain pickle; reading one runs the code in it, and no pickle is trusted")
    assert "import the .npz" in text
    assert not (tmp_path / "run").exists()


def test_an_npz_of_objects_is_refused_unopened(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, good=np.ones(2), bad=np.array([Trap(tmp_path / "run")], dtype=object))
    assert refusal(path).startswith("the array 'bad' can't be read: Object arrays cannot be loaded")
    assert not (tmp_path / "run").exists()


def test_an_npz_of_words_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", words=np.array(["a"]))
    assert refusal(tmp_path / "x.npz").startswith("the array 'words' can't be read: ")


def test_an_npz_that_unpacks_to_more_than_a_network_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("ladder_hub.formats.container._LARGEST", 1000)
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10_000))
    assert refusal(tmp_path / "x.npz") == "unpacks to more than 1,000 bytes, which no backbone has"


def test_archives_of_other_things_are_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    assert refusal(tmp_path / "x.tar") == "a tar archive, not a file of tensors; unpack it first"
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert refusal(tmp_path / "x.zip") == "a zip archive with neither torch's nor NumPy's tensors in it"


def test_a_scripted_network_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), tmp_path / "x.pt")
    assert "TorchScript" in refusal(tmp_path / "x.pt")


def test_a_file_of_one_tensor_is_no_table(tmp_path):
    torch.save(torch.ones(2), tmp_path / "x.pth")
    assert refusal(tmp_path / "x.pth") == "holds a Tensor, not a table of tensors"


def test_what_is_no_file_is_refused(tmp_path):
    for name, text in ((".", "it is a folder, not a file"), ("absent", "No such file or directory")):
        with pytest.raises(FormatError) as error:
            read_checkpoint(tmp_path / name)
        assert str(error.value) == f"can't read {tmp_path / name}: {text}"


@given(st.sampled_from(["torch", "legacy", "npz", "safetensors"]), st.integers(0, 400), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_damage_gives_anything_but_a_refusal(tmp_path_factory, kind, position, noise):
    path = tmp_path_factory.mktemp("damaged") / "x"
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, a=np.arange(20.0))
    elif kind == "safetensors":
        safetensors.torch.save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "torch")
    whole = path.read_bytes()
    path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
    try:
        found = list(read_checkpoint(path).table(""))
    except UserError as error:
        found = [str(error)]
    assert all("\n" not in name or kind != "npz" for name in found)
