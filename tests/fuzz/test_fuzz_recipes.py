"""Recipe files and overrides: a recipe, or one line that names the file or the key; nothing is run or opened."""

import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
from fuzzing import TOML_VALUES, Tally, bounded, check_message, make_odd, places, replaced, spoilt, toml_values, without
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub._shipped import shipped
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe, recipe_names
from ladder_hub.recipe_files import RecipeError

NAMES = recipe_names()
DOCUMENTS = [tomllib.loads(load_recipe(name).to_toml()) for name in ("byol_100e", "ladder_dense_400e", "quickstart")]
KEYS = [
    "epochs",
    "seed",
    "name",
    "data.train",
    "views.blur",
    "levels",
    "optim.base_lr",
    "model.backbone",
    "base",
    "out",
]
ODD_KEYS = [
    "",
    ".",
    "a..b",
    "epochs.",
    ".epochs",
    "__class__",
    "model.__class__.x",
    "epochs\nseed",
    "a b",
    "é",
    "x" * 5000,
]


def test_the_recipes_are_all_there():
    assert len(NAMES) == 17
    assert all(len(places(document)) > 50 for document in DOCUMENTS)


def check_recipe(recipe: Recipe | None, folder: Path) -> None:
    """One that was taken is plain data, can be written and read again, and is the same then."""
    if recipe is None:
        return
    again = folder / "again.toml"
    again.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(str(again)) == recipe
    assert len(recipe.fingerprint()) == 64
    assert recipe.published().out == ""


def test_a_value_of_a_recipe_replaced(tmp_path):
    path, tally = tmp_path / "r.toml", Tally()

    @bounded(300)
    @given(st.sampled_from(DOCUMENTS), st.data(), toml_values)
    def run(document, data, raw):
        place = data.draw(st.sampled_from(places(document)[1:]))
        path.write_text(spoilt(document, place, raw, dump=tomli_w.dumps), encoding="utf-8")
        check_recipe(tally.run(lambda: load_recipe(str(path)), path, *map(str, place)), tmp_path)

    run()
    assert tally.accepted > 3
    assert tally.refused > 50


def test_a_key_of_a_recipe_left_out_added_or_made_a_table(tmp_path):
    path, tally = tmp_path / "r.toml", Tally()
    changes = st.sampled_from(["left out", "added", "table", "tables"])

    @bounded(200)
    @given(st.sampled_from(DOCUMENTS), st.data(), changes, st.text(max_size=12))
    def run(document, data, change, word):
        place = data.draw(st.sampled_from(places(document)[1:]))
        value = {"table": {word: 1}, "tables": [{word: 1}, {}]}.get(change, 3)
        spoiled = without(document, place) if change == "left out" else replaced(document, place, value)
        if change == "added":
            spoiled = {**document, word: 1}
        path.write_text(tomli_w.dumps(spoiled), encoding="utf-8")
        check_recipe(tally.run(lambda: load_recipe(str(path)), path, *map(str, place)), tmp_path)

    run()
    assert tally.accepted > 0
    assert tally.refused > 20


def test_any_bytes_as_a_recipe(tmp_path):
    path, tally = tmp_path / "r.toml", Tally()
    whole = (shipped("recipes") / "quickstart.toml").read_bytes()

    @bounded(250)
    @given(st.binary(max_size=40), st.integers(0, len(whole)), st.booleans())
    def run(data, position, cut):
        path.write_bytes(whole[:position] + data + (b"" if cut else whole[position + len(data) :]))
        check_recipe(tally.run(lambda: load_recipe(str(path)), path, "epochs"), tmp_path)

    run()
    assert tally.accepted > 3
    assert tally.refused > 20


def test_any_override(tmp_path):
    tally = Tally()
    keys = st.one_of(st.sampled_from(KEYS), st.sampled_from(ODD_KEYS), st.text(max_size=10))
    values = st.one_of(
        st.sampled_from([*TOML_VALUES, "\udc80"]), st.text(max_size=30), st.text("[]{}=,\n'\"ab1.", max_size=30)
    )

    @bounded(300)
    @given(keys, st.sampled_from(["=", ""]), values)
    def run(key, separator, text):
        check_recipe(tally.run(lambda: load_recipe("quickstart", [f"{key}{separator}{text}"])), tmp_path)

    run()
    assert tally.accepted > 2
    assert tally.refused > 50


@pytest.mark.parametrize("smuggled", ["1\nseed = 7", "1\n[data]\nworkers = 7", "1\n[[x]]", "1 # \nseed = 7"])
def test_a_value_carries_no_second_key(smuggled):
    with pytest.raises(UserError, match="epochs: "):
        load_recipe("quickstart", [f"epochs={smuggled}"])
    with pytest.raises(UserError, match="out: a line break or control character"):
        load_recipe("quickstart", [f"out={smuggled}"])


# -- what a recipe reaches --

events: list[tuple[str, str]] | None = None
WATCHED = ("open", "exec", "compile", "os.", "subprocess", "socket", "ctypes", "pickle", "shutil", "import")


def _note(event: str, arguments: tuple) -> None:
    if events is not None and event.startswith(WATCHED):
        events.append((event, str(arguments[0]) if arguments else ""))


@contextmanager
def watched():
    """Python's own audit events: files opened, code run, processes started, sockets."""
    global events
    if not hasattr(sys, "_ladder_hub_audited"):
        sys.addaudithook(_note)
        sys._ladder_hub_audited = True
    events = found = []
    try:
        yield found
    finally:
        events = None


BASES = [
    "quickstart",
    "tiny64",
    "beside",
    "r",
    "nowhere",
    "../../x",
    "/etc/passwd",
    "/etc/hostname",
    "sub/x",
    "..",
    "",
    ".",
]
BASES += ["a\\b", "~/x", "C:x", "x\0y", "a\nb", "x" * 300, "http://host/x", "quickstart.toml"]


def test_loading_opens_nothing_but_recipes_and_runs_nothing(tmp_path):
    tally, path = Tally(), tmp_path / "in" / "r.toml"
    path.parent.mkdir()
    (tmp_path / "x.toml").write_text('base = "quickstart"')
    (path.parent / "beside.toml").write_text('base = "quickstart"')
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "x.toml").write_text('base = "quickstart"')
    load_recipe("quickstart")
    allowed = {path.parent, shipped("recipes")}
    opened = set()

    @bounded(100)
    @given(st.one_of(st.sampled_from(BASES), st.text(max_size=8)), toml_values)
    def run(base, raw):
        path.write_text(tomli_w.dumps({"base": base}) + f"epochs = {raw}\n", encoding="utf-8")
        with watched() as found:
            tally.run(lambda: load_recipe(str(path)), path, "epochs")
        files = {Path(where) for event, where in found if event == "open"}
        assert {file.parent for file in files} <= allowed
        assert [event for event, _ in found if event not in ("open", "os.listdir", "os.scandir")] == []
        opened.update(file.name for file in files)

    run()
    # The check can fail: what it saw are the recipes that were asked for.
    assert {"r.toml", "quickstart.toml", "tiny64.toml", "base.toml"} <= opened
    assert "x.toml" not in opened


@pytest.mark.parametrize("base", [base for base in BASES if not base.replace("_", "").isalnum() or len(base) > 100])
def test_a_base_is_a_name_and_no_path(tmp_path, base):
    path = tmp_path / "in" / "r.toml"
    path.parent.mkdir()
    path.write_text(tomli_w.dumps({"base": base}), encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load_recipe(str(path))
    check_message(str(error.value), f"{path}: base = ")


@pytest.mark.parametrize("length", [2, 12, 400])
def test_a_chain_of_bases_ends(tmp_path, length):
    for number in range(length):
        below = f"r{number + 1}" if number + 1 < length else "quickstart"
        (tmp_path / f"r{number}.toml").write_text(f'base = "{below}"')
    tally = Tally()
    tally.run(lambda: load_recipe(str(tmp_path / "r0.toml")), "more than 16 recipes build on each other")
    assert tally.accepted == (length <= 12)
    (tmp_path / f"r{length - 1}.toml").write_text('base = "r0"')
    tally.run(lambda: load_recipe(str(tmp_path / "r0.toml")), "leads back to this file", "more than 16 recipes")
    assert tally.refused == 1 + (length > 12)


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "huge", "absent", "device"])
def test_a_recipe_that_is_no_file(tmp_path, kind):
    path = tmp_path / "r.toml"
    make_odd(path, kind)
    tally = Tally()
    tally.run(lambda: load_recipe(str(path)), path)
    base = tmp_path / "above.toml"
    base.write_text('base = "r"')
    tally.run(lambda: load_recipe(str(base)), path, "base = 'r' is neither beside it")
    assert tally.refused == 2


@pytest.mark.parametrize("name", ["a\nb", "~nobody_here/r.toml", "x" * 5000 + ".toml", "x\0.toml", "", "é\x1b", "../x"])
def test_a_name_that_is_none(name):
    tally = Tally()
    tally.run(lambda: load_recipe(name), "no recipe")
    assert tally.refused == 1
