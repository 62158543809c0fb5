"""Where a result comes from."""

import os
import subprocess
from pathlib import Path

import torch

import ladder_hub
from ladder_hub.training import provenance as room


def test_facts() -> None:
    facts = room.provenance(torch.device("cpu"), seed=3)
    assert facts["seed"] == 3
    assert facts["versions"]["ladder_hub"] == ladder_hub.__version__
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "CPU" in facts["device"]


def test_commit_of_a_checkout_and_of_none(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "ladder_hub"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(ladder_hub, "__file__", str(package / "__init__.py"))
    assert room.code_commit() is None

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        words = ("git", "-C", str(tmp_path), *identity, *words)
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=env)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    assert room.code_commit() == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("changed = True\n")
    assert room.code_commit() == git("rev-parse", "HEAD") + "+"
