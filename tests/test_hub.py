"""The door to the Hub: what each refusal says, and that nothing secret is in it."""

import pytest
from artifact_factory import python
from fake_hub import Fault
from fake_hub.clients import variables

from ladder_hub.hub import HubError, cache_folder, fetch, without_secrets

OWNER = "hf_owner_of_org"
ASK = """
import sys
from ladder_hub.hub import HubError, fetch
for asked in sys.argv[1:]:
    name, _, revision = asked.partition("@")
    try:
        path = fetch(name, "config.json", revision or None)
        print("got", path.parent.name)
    except HubError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", ["", "a/b/c", "org/na me", "org/..", "-x"])
def test_a_name_that_is_no_repository_is_one_line(name, tmp_path):
    with pytest.raises(HubError) as error:
        fetch(name, "config.json", None, tmp_path)
    text = f"hf-hub:{name}: not a repository id; expected hf-hub:org/name or hf-hub:org/name@revision"
    assert str(error.value) == text


def test_each_refusal_is_one_line_of_its_own(hub, clients, tmp_path):
    hub.create("org/mine", **{"config.json": b"{}"})
    hub.create("org/empty")
    hub.create("org/secret", private=True)
    hub.create("org/gated", gated=True)
    names = ["org/mine", "org/gone", "org/secret", "org/mine@v9", "org/empty", "org/gated"]
    unseen = "no such repository, or a private one that this login (HF_TOKEN) can't see"
    assert clients.run(ASK, *names, home=tmp_path).splitlines() == [
        f"got {hub.repository('org/mine').refs['main']}",
        f"HubError hf-hub:org/gone: {unseen}",
        f"HubError hf-hub:org/secret: {unseen}",
        "HubError hf-hub:org/mine@v9: the repository has no branch, tag or commit 'v9'",
        "AbsentError hf-hub:org/empty: config.json is not in the repository",
        "HubError hf-hub:org/gated: the repository asks for consent; give it on its page, then log in (HF_TOKEN)",
    ]


def test_a_login_that_nobody_has_is_one_line_without_it(hub, clients, tmp_path):
    hub.create("org/mine", **{"config.json": b"{}"})
    said = clients.run(ASK, "org/mine", home=tmp_path, token="hf_nobody_has_this")
    text = f"{hub.endpoint} failed: it does not know this login; check HF_TOKEN"
    assert said == f"HubError hf-hub:org/mine: config.json: {text}\n"


@pytest.mark.parametrize(("times", "seen"), [(1, "got "), (9, "HubError hf-hub:org/mine: config.json: ")])
def test_a_busy_hub_is_asked_once_more(hub, clients, tmp_path, times, seen):
    hub.create("org/mine", **{"config.json": b"{}"})
    hub.faults.append(Fault("unavailable", "/config.json", times))
    assert clients.run(ASK, "org/mine", home=tmp_path).startswith(seen)
    assert hub.count("GET", "/config.json") == 2


def test_a_closed_port_and_a_forbidden_network_say_what_was_tried(tmp_path):
    home = tmp_path / "home"
    closed = variables("http://user:secret@127.0.0.1:9", home)
    # Between its attempts the client sleeps for seconds.
    said = python(f"import time; time.sleep = lambda seconds: None\n{ASK}", "org/mine@v2", cwd=tmp_path, **closed)
    cache = home / "hub"
    start = f"HubError hf-hub:org/mine@v2: config.json: not in the cache {cache}, nor from http://127.0.0.1:9 ("
    assert said.startswith(start)
    assert "refused" in said
    said = python(ASK, "org/mine@v2", cwd=tmp_path, **closed | {"HF_HUB_OFFLINE": "1"})
    assert said == f"{start}HF_HUB_OFFLINE is set: no network is used)\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no https://me:pass@host:8080/a/b?sig=x&y=z, sorry", "no https://host:8080/a/b sorry"),
        ("Bearer hf_AbCdEfGhIjKl refused", "Bearer hf_… refused"),
        ("my-own-token here", "… here"),
        ("nothing to hide: http://host/a", "nothing to hide: http://host/a"),
    ],
)
def test_nothing_secret_is_shown(text, shown, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-own-token")
    assert without_secrets(text) == shown


def test_downloads_go_where_they_are_told(tmp_path):
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder(None).name == "hub"
