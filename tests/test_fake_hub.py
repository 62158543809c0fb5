"""The loopback Hub against the real client: what other tests rely on holds, and its faults are faults."""

import hashlib
from pathlib import Path

import pytest
from fake_hub import Fault

OWNER, OTHER = "hf_owner_of_org", "hf_some_other_user"
LARGE = bytes(range(256)) * 3000  # three parts of 256 KiB

PUSH = """
import sys
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
api = HfApi()
api.create_repo("org/mine", private=True, exist_ok=True)
add = [CommitOperationAdd("model.safetensors", sys.argv[1].encode() * 3000), CommitOperationAdd("a.txt", b"small")]
first = api.create_commit("org/mine", add, commit_message="first")
"""


def test_a_commit_arrives_with_large_files_in_parts(hub, clients, tmp_path):
    said = clients.run(PUSH + "print(first.oid)", "abc" * 100, home=tmp_path, token=OWNER)
    repository = hub.repository("org/mine")
    assert repository.refs["main"] == said.strip()
    assert repository.files() == {"model.safetensors": b"abc" * 300_000, "a.txt": b"small"}
    assert repository.private
    assert hub.count("PUT", hashlib.sha256(b"abc" * 300_000).hexdigest()) == 4


def test_branches_tags_pull_requests_and_a_stale_parent(hub, clients, tmp_path):
    code = """
api.create_branch("org/mine", branch="next")
api.create_tag("org/mine", tag="v1", revision=first.oid)
request = api.create_commit("org/mine", [CommitOperationAdd("b.txt", b"b")], commit_message="b", create_pr=True)
print(request.pr_url, request.pr_revision)
drop = [CommitOperationDelete("a.txt")]
api.create_commit("org/mine", drop, commit_message="second", revision="next", parent_commit=first.oid)
refs = api.list_repo_refs("org/mine")
print(*sorted(ref.name for ref in refs.branches), *(ref.name for ref in refs.tags))
print(*sorted(file.path for file in api.list_repo_tree("org/mine", revision="next")))
try:
    api.create_commit("org/mine", drop, commit_message="third", revision="next", parent_commit=first.oid)
except Exception as error:
    print(error.response.status_code)
"""
    lines = clients.run(PUSH + code, "x", home=tmp_path, token=OWNER).splitlines()
    assert lines == [f"{hub.endpoint}/org/mine/discussions/1 refs/pr/1", "main next v1", "model.safetensors", "412"]
    assert set(hub.repository("org/mine").files("refs/pr/1")) == {"model.safetensors", "a.txt", "b.txt"}
    assert set(hub.repository("org/mine").files("v1")) == {"model.safetensors", "a.txt"}


FETCH = """
import sys
from huggingface_hub import hf_hub_download
for name in sys.argv[1:]:
    try:
        print(open(hf_hub_download(name, "model.safetensors"), "rb").read() == bytes(range(256)) * 3000)
    except Exception as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        ("", "True RepositoryNotFoundError GatedRepoError"),
        (OTHER, "True RepositoryNotFoundError GatedRepoError"),
        (OWNER, "True True True"),
        ("hf_nobody_has_this", "HfHubHTTPError HfHubHTTPError HfHubHTTPError"),
    ],
)
def test_who_sees_what(hub, clients, tmp_path, token, seen):
    for name, options in ("org/open", {}), ("org/private", {"private": True}), ("org/gated", {"gated": True}):
        hub.create(name, **options, **{"model.safetensors": LARGE})
    assert clients.run(FETCH, *hub.store.repositories, home=tmp_path, token=token).split() == seen.split()
    stored = [asked for asked in hub.asked if asked.host.startswith("localhost")]
    assert len(stored) == seen.count("True")
    assert not [asked for asked in stored if "authorization" in asked.headers]


@pytest.mark.parametrize(
    ("kind", "method", "path", "seen"),
    [
        ("cut", "GET", hashlib.sha256(LARGE).hexdigest(), "True"),
        ("unavailable", "HEAD", "model.safetensors", "True"),
        ("unavailable", "GET", hashlib.sha256(LARGE).hexdigest(), "HfHubHTTPError"),
    ],
)
def test_what_the_client_overcomes_by_itself(hub, clients, tmp_path, kind, method, path, seen):
    hub.create("org/open", **{"model.safetensors": LARGE})
    hub.faults.append(Fault(kind, path, method=method))
    assert clients.run(FETCH, "org/open", home=tmp_path).split() == [seen]
    assert hub.faults[0].times == 0


def test_a_download_goes_on_where_it_was_cut(hub, clients, tmp_path):
    data = bytes(12 * 2**20) + LARGE  # it goes on at steps of 10 MiB
    hub.create("org/open", **{"model.safetensors": data})
    digest = hashlib.sha256(data).hexdigest()
    hub.faults.append(Fault("cut", digest, at=11 * 2**20))
    code = "from huggingface_hub import hf_hub_download as get\nprint(get('org/open', 'model.safetensors'))"
    assert Path(clients.run(code, home=tmp_path).strip()).read_bytes() == data
    ranges = [asked.headers.get("range") for asked in hub.asked if asked.path.endswith(digest)]
    assert ranges == [None, f"bytes={10 * 2**20}-"]


def test_corruption_of_the_same_size_is_overlooked_by_the_client(hub, clients, tmp_path):
    hub.create("org/open", **{"model.safetensors": LARGE})
    hub.faults.append(Fault("corrupt", hashlib.sha256(LARGE).hexdigest()))
    assert clients.run(FETCH, "org/open", "org/open", home=tmp_path).split() == ["False", "False"]
