import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from artifact_factory import make_artifact, python

from ladder_hub import hub
from ladder_hub.hub import HubError, pull
from ladder_hub.models import create_model

COMMIT = "a1" * 20


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact")


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


def test_neither_network_nor_cache_is_one_line(tmp_path):
    with pytest.raises(HubError) as error:
        pull("org/mine", "v2", tmp_path)
    assert str(error.value) == (
        "hf-hub:org/mine@v2: config.json is not in the cache and the Hub can't be reached; check the network"
    )
    assert error.value.exit_status == 2


def test_a_cached_config_without_weights_is_one_line(cache):
    (cache / "models--org--mine" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(HubError, match=r"^hf-hub:org/mine: model.safetensors is not in the cache and the Hub can't"):
        pull("org/mine", None, cache)


class ReadTimeout(Exception):  # noqa: N818
    """As the HTTP clients of huggingface_hub raise it: neither an OSError nor one of the Hub's own."""


def failing(monkeypatch, names):
    """From now on a download of one of `names` ends as a broken connection does, after all retries."""
    real = hub.hf_hub_download

    def download(repo_id, name, **options):
        if name in names:
            raise ReadTimeout("The read operation timed out")
        return real(repo_id, name, **options)

    monkeypatch.setattr(hub, "hf_hub_download", download)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_an_error_of_the_http_client_is_one_line(cache, monkeypatch, name):
    failing(monkeypatch, [name])
    with pytest.raises(HubError) as error:
        pull("org/mine", None, cache)
    assert str(error.value) == f"hf-hub:org/mine: {name} could not be fetched: The read operation timed out"


def test_a_complete_model_does_not_fail_for_its_card(cache, monkeypatch):
    failing(monkeypatch, ["README.md"])
    assert create_model("hf-hub:org/mine", cache_dir=cache).load_receipt.verified


@pytest.mark.parametrize("name", ["", "a/b/c", "org/na me", "org/..", "-x"])
def test_a_name_that_is_no_repository_is_one_line(name, tmp_path):
    with pytest.raises(HubError) as error:
        pull(name, None, tmp_path)
    text = f"hf-hub:{name}: not a repository id; expected hf-hub:org/name or hf-hub:org/name@revision"
    assert str(error.value) == text


class Repositories(BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for: `org/mine` whole, `org/pickle` without safetensors."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        self.server.asked.append(self.path)
        owner, name, _, revision, *rest = self.path.strip("/").split("/")
        path = self.server.folder / "/".join(rest)
        if owner == "gated":
            return self.refuse(403, "GatedRepo")
        if name not in ("mine", "pickle"):
            return self.refuse(404, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if not path.is_file() or (name == "pickle" and path.suffix == ".safetensors"):
            return self.refuse(404, "EntryNotFound")
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{path.name}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)
        return None

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(artifact, tmp_path):
    folder = shutil.copytree(artifact, tmp_path / "served")
    (folder / "pytorch_model.bin").write_bytes(b"never asked for")
    (folder / "provenance.json").unlink()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Repositories)
    server.folder, server.asked = folder, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_asks_for_the_named_files_only_and_says_what_fails(server, tmp_path):
    code = """
import sys
from ladder_hub.hub import HubError, pull
folder = pull("org/mine")
print(folder.name, *sorted(path.name for path in folder.iterdir()))
for name, revision in ("org/gone", None), ("org/mine", "v9"), ("org/pickle", None), ("gated/mine", None):
    try:
        pull(name, revision)
    except HubError as error:
        print(error)
"""
    address = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    lines = python(code, cwd=tmp_path, **environment).splitlines()
    assert lines == [
        f"{COMMIT} README.md config.json metrics.json model.safetensors recipe.toml",
        "hf-hub:org/gone: no such repository, or a private one that this login (HF_TOKEN) can't see",
        "hf-hub:org/mine@v9: the repository has no branch, tag or commit 'v9'",
        "hf-hub:org/pickle: the repository has no model.safetensors; a pickle (.bin) is not taken",
        "hf-hub:gated/mine: the repository asks for consent; give it on its page, then log in (HF_TOKEN)",
    ]
    assert not [path for path in server.asked if path.endswith(".bin")]
    # The branch is asked for once; everything after that is of the commit it stood at.
    assert {path.split("/")[4] for path in server.asked if path.startswith("/org/mine/") and "v9" not in path} == {
        "main",
        COMMIT,
    }
