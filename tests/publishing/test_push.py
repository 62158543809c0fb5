"""Pushes through the real client: what arrives, what is refused before anything goes, what a second one does."""

import shutil

import pytest
import torch
from artifact_factory import make_artifact, metric
from fake_hub import Fault

from ladder_hub.recipe import load_recipe
from ladder_hub.weights import file_sha256

OWNER, OTHER = "hf_owner_of_org", "hf_some_other_user"
RECIPE = load_recipe("tiny64_ladder_dense", ["model.backbone=test_resnet", "data.train=train", "data.license=cc0-1.0"])
# The libraries have a test of their own (test_round_trip.py); here they would load the same weights twenty times.
QUICK = """
import sys
from ladder_hub.publishing import lint
lint.round_trip = lambda folder: {"timm": "equal"}
"""
CLI = QUICK + "from ladder_hub import cli\ncli.main(sys.argv[1:])"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("run") / "artifact", recipe=RECIPE)


@pytest.fixture
def mine(artifact, tmp_path):
    return shutil.copytree(artifact, tmp_path / "artifact")


@pytest.fixture
def ladder_hub(hub, clients, tmp_path):
    """The command line in a process of its own: what it says, with this exit status and login."""

    def run(*words, status=0, token=OWNER):
        process = clients.start(CLI, *words, home=tmp_path / "home", token=token)
        return process.result(status) + process.errors

    return run


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_exactly_the_artifacts_files_arrive_in_one_commit(hub, ladder_hub, artifact):
    said = ladder_hub("push", artifact, "org/mine")
    repository = hub.repository("org/mine")
    assert repository.files() == content(artifact)
    assert (len(repository.trees), repository.private) == (2, False)
    sha256 = file_sha256(artifact / "model.safetensors")
    assert hub.count("PUT", sha256) > 1  # in parts
    assert said.splitlines()[0] == f"{hub.endpoint}/org/mine at main will hold, for everybody to read:"
    for text in ("  model.safetensors  ", f"sha256 {sha256}", "licence of the weights: apache-2.0", "top1 43.2 %"):
        assert text in said
    assert said.splitlines()[-1] == f"hf-hub:org/mine@{repository.refs['main']} holds it now"


def test_what_was_pushed_is_had_back_by_everyone(hub, ladder_hub, clients, artifact, tmp_path):
    ladder_hub("push", artifact, "org/mine", "tag=v1")
    said = ladder_hub("pull", "org/mine@v1", f"out={tmp_path}/back", token="")
    assert said == f"org/mine@v1 is verified: {tmp_path}/back\n"
    assert content(tmp_path / "back") == content(artifact)
    code = "import timm; print(type(timm.create_model('hf-hub:org/mine@v1', pretrained=True)).__name__)"
    assert clients.run(code, home=tmp_path / "another") == "ResNet\n"
    checks = ladder_hub("verify", "hf-hub:org/mine", token="")
    assert "card against metrics   ok" in checks


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"overlap": 6},
            "6 of the 500 images asked are among those that taught (1.2%, at most 1%)",
        ),
        ({"data": {"train": {"digest": "a"}, "val": {"digest": "b"}}}, "does not name its images by content"),
    ],
)
def test_a_figure_that_says_too_much_is_refused(hub, ladder_hub, tmp_path, changes, reason):
    folder = make_artifact(tmp_path / "weak", recipe=RECIPE, metrics=[metric(**changes)])
    said = ladder_hub("push", folder, "org/mine", status=2)
    assert said.count("metrics.json: ") == 1
    assert "knn:k20-t0.07 res5 top1" in said
    assert reason in said
    assert "org/mine" not in hub.store.repositories


def test_a_figure_whose_images_hardly_overlap_goes_out(ladder_hub, tmp_path):
    folder = make_artifact(tmp_path / "sound", recipe=RECIPE, metrics=[metric(overlap=5)])
    assert "top1 43.2 %" in ladder_hub("push", folder, "org/mine")


def test_a_second_push_of_the_same_files_does_nothing(hub, ladder_hub, artifact):
    ladder_hub("push", artifact, "org/mine", "tag=v1")
    commits = dict(hub.repository("org/mine").trees)
    hub.asked.clear()
    said = ladder_hub("push", artifact, "org/mine", "tag=v1")
    assert said.splitlines()[-1].endswith("held it already: nothing to do")
    assert hub.repository("org/mine").trees == commits
    assert {asked.method for asked in hub.asked} <= {"GET", "HEAD"}


def test_dry_shows_and_sends_nothing(hub, ladder_hub, artifact):
    said = ladder_hub("push", artifact, "org/mine", "dry=true", "private=true")
    assert "will hold, for whoever has access to read:" in said
    assert said.splitlines()[-1] == "dry=true: nothing was sent"
    assert hub.asked == []


def test_the_lint_refuses_before_anything_is_asked(hub, ladder_hub, mine):
    (mine / "pytorch_model.bin").write_bytes(b"x")
    (mine / "notes.txt").write_bytes(b"x")
    said = ladder_hub("push", mine, "org/mine", status=2)
    assert said.startswith(
        f"ladder-hub: {mine}: nothing was sent, 2 things must be mended first: notes.txt is no file of"
    )
    assert len(said.splitlines()) == 1
    assert hub.asked == []


def test_the_licence_of_the_images_can_be_stated_with_the_push(hub, ladder_hub, tmp_path):
    plain = load_recipe("tiny64_ladder_dense", ["model.backbone=test_resnet", "data.train=train"])
    folder = make_artifact(tmp_path / "run" / "artifact", recipe=plain)
    assert "no licence of the training images is stated" in ladder_hub("push", folder.parent, "org/mine", status=2)
    ladder_hub("push", folder.parent, "org/mine", "data.license=cc-by-4.0")
    assert b"| training images | cc-by-4.0 |" in hub.repository("org/mine").files()["README.md"]


def test_the_card_may_have_another_name_than_the_run_and_nothing_else_changes(hub, ladder_hub, mine):
    before = content(mine)
    ladder_hub("push", mine, "org/mine", "name=mine_200e", "description=Small weights")
    files = hub.repository("org/mine").files()
    changed = {name for name, text in content(mine).items() if text != before[name]}
    assert changed == {"README.md", "config.json", "recipe.toml"}
    assert b"\n# mine_200e (test_resnet)\n\nSmall weights.\n" in files["README.md"]
    assert load_recipe(str(mine / "recipe.toml")).fingerprint() == RECIPE.fingerprint()


def test_without_heads_and_with_a_copy_of_what_goes_out(hub, ladder_hub, tmp_path):
    heads = {"online.projectors.res5.weight": torch.ones(2, 3)}
    mine = make_artifact(tmp_path / "mine" / "artifact", recipe=RECIPE, heads=heads)
    before = content(mine)
    ladder_hub("push", mine, "org/mine", "heads=false", f"out={tmp_path / 'kept' / 'mine'}")
    files = hub.repository("org/mine").files()
    assert content(mine) == before
    assert content(tmp_path / "kept" / "mine") == files
    assert before.keys() - files.keys() == {"ladder_heads.safetensors"}
    assert {name for name, text in files.items() if text != before[name]} == {"config.json"}
    assert b"heads_sha256" in before["config.json"]
    assert b"heads_sha256" not in files["config.json"]
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine"]
    assert "is there already" in ladder_hub("push", mine, "org/mine", f"out={tmp_path / 'kept'}", status=2)


def test_what_is_wrong_leaves_no_copy(hub, ladder_hub, mine, tmp_path):
    (mine / "notes.txt").write_text("x")
    said = ladder_hub("push", mine, "org/mine", "heads=false", f"out={tmp_path / 'kept' / 'mine'}", status=2)
    assert "notes.txt is no file of an artifact" in said
    assert list((tmp_path / "kept").iterdir()) == []
    assert hub.asked == []


def test_private_a_branch_a_tag_and_a_pull_request(hub, ladder_hub, mine):
    ladder_hub("push", mine, "org/mine", "private=true", "revision=next", "tag=v1")
    repository = hub.repository("org/mine")
    assert repository.private
    assert repository.files("main") == {}
    assert repository.files("next") == repository.files("v1") == content(mine)
    said = ladder_hub("push", mine, "org/mine", "pr=true")
    assert said.splitlines()[-1] == f"{hub.endpoint}/org/mine/discussions/1 holds it now"
    assert repository.files("main") == {}
    assert repository.files("refs/pr/1") == content(mine)


def test_a_private_push_never_lands_in_a_public_repository(hub, ladder_hub, mine):
    hub.create("org/mine")
    said = ladder_hub("push", mine, "org/mine", "private=true", status=2)
    assert said.endswith("hf-hub:org/mine is public and private=true was asked for; nothing was sent\n")
    assert hub.repository("org/mine").files() == {}


def test_a_tag_never_moves(hub, ladder_hub, mine):
    repository = hub.create("org/mine")
    repository.tags["v1"] = repository.refs["main"]
    said = ladder_hub("push", mine, "org/mine", "tag=v1", status=2)
    assert "the tag v1 names " in said
    assert "tags don't move" in said
    assert repository.files() == {}


def test_files_of_an_older_artifact_go_and_others_stay(hub, ladder_hub, mine):
    hub.create("org/mine", **{"ladder_heads.safetensors": b"old", ".gitattributes": b"*.safetensors", "a.md": b"x"})
    ladder_hub("push", mine, "org/mine")
    assert set(hub.repository("org/mine").files()) == {*content(mine), ".gitattributes", "a.md"}


def test_a_pickle_in_the_repository_is_not_joined(hub, ladder_hub, mine):
    hub.create("org/mine", **{"pytorch_model.bin": b"old"})
    said = ladder_hub("push", mine, "org/mine", status=2)
    assert said.endswith("hf-hub:org/mine holds the pickle pytorch_model.bin; delete it there, then push again\n")


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault("unavailable", "/commit/main", method="POST"), 2, "503"),
        (Fault("refuse", "/commit/main", method="POST"), 2, "this login (HF_TOKEN) may not do that"),
        (Fault("refuse", "/api/repos/create", method="POST"), 2, "can't be created: "),
    ],
)
def test_a_push_that_fails_is_one_line_and_leaves_nothing(hub, ladder_hub, mine, fault, status, text):
    fault.times = 20
    hub.faults.append(fault)
    said = ladder_hub("push", mine, "org/mine", status=status).splitlines()[-1]
    assert said.startswith("ladder-hub: hf-hub:org/mine")
    assert text in said
    assert "org/mine" not in hub.store.repositories or hub.repository("org/mine").files() == {}


def test_somebody_elses_push_at_the_same_moment_is_not_overwritten(hub, ladder_hub, mine):
    repository = hub.create("org/mine")
    theirs = lambda: repository.add({"README.md": b"theirs"})  # noqa: E731
    hub.faults.append(Fault(None, "/commit/main", method="POST", before=theirs))
    said = ladder_hub("push", mine, "org/mine", status=2)
    assert "somebody else has pushed meanwhile; look at what, and push again" in said
    assert repository.files() == {"README.md": b"theirs"}


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("", "can't be created: "),
        (OTHER, "can't be created: "),
        ("hf_nobody_has_this", "it does not know this login; check HF_TOKEN"),
    ],
)
def test_who_may_not_push_is_told_so_and_their_token_is_not(ladder_hub, mine, token, text):
    said = ladder_hub("push", mine, "org/mine", status=2, token=token)
    assert text in said.splitlines()[-1]
    assert not token or token not in said


def test_the_token_goes_to_the_hub_alone_and_nowhere_on_the_disk(hub, ladder_hub, mine, tmp_path):
    said = ladder_hub("push", mine, "org/mine", "private=true")
    assert OWNER not in said
    elsewhere = [asked for asked in hub.asked if asked.host.startswith("localhost")]
    assert elsewhere
    assert not [asked for asked in elsewhere if OWNER in str(asked.headers)]
    assert not [data for data in hub.repository("org/mine").files().values() if OWNER.encode() in data]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and OWNER.encode() in path.read_bytes()]
    assert written == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["mine"], "'mine' is no repository; it is written org/name"),
        (["org/mine", "pr=true", "tag=v1"], "tag and pr don't go together"),
        (["org/mine", "tag=../x"], "tag: no branch or tag can be called '../x'"),
        (["org/mine", "privat=true"], "unknown key 'privat'; did you mean private?"),
        (["org/mine", "private=maybe"], "private: "),
    ],
)
def test_what_was_typed_wrong_is_one_line(hub, ladder_hub, artifact, words, text):
    said = ladder_hub("push", artifact, *words, status=2)
    assert text in said
    assert len(said.splitlines()) == 1
    assert hub.asked == []
