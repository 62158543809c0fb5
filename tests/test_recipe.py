"""Every shipped recipe loads and takes two steps; every refusal is one line that says what to do."""

import tomllib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder_hub._shipped import shipped
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe, recipe_names
from ladder_hub.runtime.distributed import World
from ladder_hub.settings import setting
from ladder_hub.siamese.levels import LEVELS
from ladder_hub.training.inputs import open_inputs, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.state import TrainState, build_learner

NAMES = recipe_names()
PARTS = {"base", "tiny64"}
SMALL = ["model.backbone=test_resnet", "heads.hidden=16", "heads.out=8", "data.train=shapes:8", "data.image_size=32"]
SMALL += ["optim.base_lr=64", "batch_size=4", "micro_batch=4", "data.workers=0", "precision=float32", "device=cpu"]


def test_all_recipes_are_found() -> None:
    files = {path.stem for path in shipped("recipes").glob("*.toml")}
    assert set(NAMES) == files - PARTS
    assert len(NAMES) == 17
    for method in LEVELS:
        assert {f"{method}_{epochs}e" for epochs in (100, 200, 400)} | {f"tiny64_{method}"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains(name: str) -> None:
    recipe = load_recipe(name, SMALL)
    assert recipe.ladder == LEVELS[recipe.method]
    inputs = open_inputs(recipe)
    world, layout = World(), Layout(processes=1, micro_batch=4, accumulation=1, batch_norm="ghost")
    state = TrainState(recipe, build_learner(recipe), world, layout, steps_per_epoch=2)
    before = {name: p.detach().clone() for name, p in state.learner.online.named_parameters()}
    for batch in two_views(recipe, inputs.train, layout, world).batches(0, samples=8):
        losses = state.advance([batch]).losses
        assert all(0 <= loss.item() <= 8 for loss in losses.values())
    assert state.step == 2
    moved = {name for name, p in state.learner.online.named_parameters() if not torch.equal(before[name], p)}
    assert {name.split(".")[0] for name in moved} == {"backbone", "projectors"}


@pytest.mark.parametrize("epochs", [100, 200, 400])
@pytest.mark.parametrize("method", LEVELS)
def test_the_papers_protocol(method: str, epochs: int) -> None:
    recipe = load_recipe(f"{method}_{epochs}e")
    assert (recipe.method, recipe.epochs, recipe.batch_size) == (method, epochs, 4096)
    assert recipe.learning_rate == pytest.approx(7.2)
    assert recipe.optim.weight_decay == 1e-6
    assert recipe.target.base_momentum == 0.99
    assert (recipe.views.blur, recipe.views.solarize) == ((1.0, 0.1), (0.0, 0.2))
    assert (recipe.heads.hidden, recipe.heads.out) == (4096, 256)


def test_a_recipe_survives_its_own_toml(tmp_path) -> None:
    recipe = load_recipe("ladder_dense_200e", ["data.train=/a/b", "optim.base_lr=0.3", "seed=7"])
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe
    assert "base" not in tomllib.loads(recipe.to_toml())


def test_fingerprint_is_of_what_decides_the_numbers() -> None:
    def fingerprint(*overrides: str) -> str:
        return load_recipe("ladder_byol_200e", overrides).fingerprint()

    assert fingerprint() == fingerprint("out=x", "data.workers=3", "log.every=1", "device=cpu", "data.train=y")
    assert len({fingerprint(), fingerprint("seed=1"), fingerprint("optim.base_lr=0.3"), fingerprint("epochs=30")}) == 4


def test_what_is_published_names_no_folder_of_this_machine() -> None:
    recipe = load_recipe(
        "byol_200e", ["data.train=/home/me/secret/train-{0..3}.tar", "out=/home/me/runs", "device=cpu"]
    )
    assert "home" not in recipe.published().to_toml()
    assert recipe.published().data.train == "train-{0..3}.tar"
    for address in ("https://me:secret@h/a/t.tar?key=secret", "pipe:curl -H 'Key: secret' https://h/t.tar"):
        assert "secret" not in load_recipe("byol_200e", [f"data.train={address}"]).published().to_toml()


def test_a_ladder_of_ones_own(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(
        'base = "base"\ndescription = "four dense rungs"\nmethod = "all_dense"\nepochs = 100\n'
        + "".join(f'[[levels]]\nstage = "res{k}"\nloss = "dense"\nweight = 0.5\n' for k in range(2, 6))
    )
    recipe = load_recipe(str(tmp_path / "mine.toml"))
    assert [(level.name, level.weight) for level in recipe.ladder] == [(f"res{k}.dense", 0.5) for k in range(2, 6)]
    assert recipe.name == "mine"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epoch=3"], "unknown key 'epoch'; did you mean epochs?"),
        (["image_size=32"], "unknown key 'image_size'; did you mean data.image_size?"),
        (["optim.lr=1"], "unknown key 'optim.lr'"),
        (["epochs=many"], "epochs: input should be a valid integer, got 'many'"),
        (["epochs=1.5"], "epochs: input should be a valid integer"),
        (["epochs=0"], "epochs: input should be greater than or equal to 1, got 0"),
        (["optim.base_lr=nan"], "optim.base_lr: input should be a finite number"),
        (["optim.base_lr=1e308"], "optim.base_lr: input should be less than or equal to 1000000"),
        (["heads.hidden=10000000"], "heads.hidden: input should be less than or equal to 65536"),
        (["name=../../x"], "name: no folder can be called '../../x'"),
        (["name=.hidden"], "name: no folder can be called '.hidden'"),
        (["epochs"], "'epochs' is not key=value"),
        (["data=3"], "data is a table; set one of its keys: data.train"),
        (["epochs.x=3"], "epochs.x: epochs is a value, not a table"),
        (["method=laddr_byol"], "did you mean ladder_byol?"),
        (
            ["optim.warmup_epochs=200"],
            "optim.warmup_epochs: 200.0 must be below epochs = 200; add optim.warmup_epochs=20",
        ),
        (["views.crop_scale=[0.5,0.1]"], "views.crop_scale: the first number must not exceed the second"),
        (["views.crop_scale=[0.5,1.5]"], "views.crop_scale: a crop can't exceed the image, got 1.5"),
        (["levels=[{stage='res9',loss='global'}]"], "levels.0.stage: input should be 'res2', 'res3', 'res4' or 'res5'"),
        (["levels=[{stage='res2',loss='dense'}]"], "levels: these are not those of ladder_byol; give the ladder a"),
        (["method=x", "levels=[{stage='res2',loss='dense'},{stage='res2',loss='global'}]"], "a stage is named twice"),
    ],
)
def test_refusals(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe("ladder_byol_200e", overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_refused_files(tmp_path) -> None:
    def refusal(text: str) -> str:
        (tmp_path / "r.toml").write_text(text)
        with pytest.raises(UserError) as error:
            load_recipe(str(tmp_path / "r.toml"))
        return str(error.value)

    assert "r.toml is not TOML" in refusal("epochs = ")
    assert "`base` leads back to this file" in refusal('base = "r"')
    assert "base = 'nowhere' is neither beside it nor" in refusal('base = "nowhere"')
    assert "the key 'description' is missing" in refusal('base = "base"\nmethod = "byol"\nepochs = 20')
    assert "unknown key 'epochz'; did you mean epochs?" in refusal(
        'base = "base"\ndescription = ""\nmethod = "byol"\nepochs = 20\nepochz = 3'
    )
    with pytest.raises(UserError, match="no recipe 'quickstrt'; did you mean quickstart?"):
        load_recipe("quickstrt")
    with pytest.raises(UserError, match="no recipe file at absent.toml"):
        load_recipe("absent.toml")


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(["epochs", "seed", "data.train", "views.blur", "levels", "x.y", ""]), text=st.text())
def test_any_override_gives_a_recipe_or_one_line(key: str, text: str) -> None:
    try:
        recipe = load_recipe("quickstart", [f"{key}={text}"])
    except UserError as error:
        message = str(error)
    else:
        message = ""
        assert isinstance(recipe, Recipe)
    assert "\n" not in message.replace(text, "")


def test_the_seed_decides_the_network() -> None:
    def first_weights(seed: int) -> torch.Tensor:
        return next(build_learner(load_recipe("quickstart", [*SMALL, f"seed={seed}"])).parameters()).detach()

    assert torch.equal(first_weights(0), first_weights(0))
    assert not torch.equal(first_weights(0), first_weights(1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs = " + "[" * 5000, "r.toml is not TOML: it is nested too deeply"),
        ("epochs = " + "9" * 5000, "r.toml is not TOML: Exceeds the limit"),
        ("epochs = " + "9" * 30, f"r.toml: epochs: {'9' * 30} is beyond 64 bits"),
        ("epochs = [[[[[[[[[1]]]]]]]]]", "r.toml: tables or lists are nested more than 8 deep"),
        ("name = 1979-05-27", "r.toml: name: a date or a time is no value here; put it in quotes"),
        ('name = "a\\nb"', "r.toml: name: a line break or control character, got 'a\\nb'"),
        ('name = "\\u001b[2J"', "r.toml: name: a line break or control character, got '\\x1b[2J'"),
        ('base = "../r"', "r.toml: base = '../r' is no recipe's name; give it without folder and .toml"),
        ('base = "/etc/passwd"', "r.toml: base = '/etc/passwd' is no recipe's name; give it without folder"),
        ("base = 3", "r.toml: base = 3 is no recipe's name; give it without folder and .toml"),
    ],
)
def test_what_toml_allows_and_no_recipe_means(tmp_path, line: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(line if line.startswith("base") else f'base = "quickstart"\n{line}')
    with pytest.raises(UserError) as error:
        load_recipe(str(path))
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_a_long_chain_of_bases_is_refused(tmp_path) -> None:
    for number in range(20):
        (tmp_path / f"r{number}.toml").write_text(f'base = "r{number + 1}"')
    with pytest.raises(UserError, match=r"r16\.toml: more than 16 recipes build on each other through `base`"):
        load_recipe(str(tmp_path / "r0.toml"))


@pytest.mark.parametrize("text", ["1\nseed = 7", "[" * 5000, "9" * 5000, "\udc80"])
def test_an_override_is_one_value_or_one_line(text: str) -> None:
    with pytest.raises(UserError, match="epochs: ") as error:
        load_recipe("quickstart", [f"epochs={text}"])
    assert str(error.value).isprintable()
    assert load_recipe("quickstart", ["name=1979-05-27T07:32:00Z"]).name == "1979-05-27T07:32:00Z"


@pytest.mark.parametrize(
    "text", ["7", "2012", "1e5", "true", "inf", "2024-01-01", "[a", "{a=1}", "0x10", "-0", "𠮷 🐈"]
)
def test_a_text_key_takes_any_text(text):
    """And gives it back from its own file; `key="..."` is the text between the quotation marks."""
    recipe = load_recipe("quickstart", [f"data.val={text}", f"out={text}", setting("description", text)])
    assert (recipe.data.val, recipe.out, recipe.description) == (text, text, text)
    assert tomllib.loads(recipe.to_toml())["out"] == text
    assert load_recipe("quickstart", [f'out="{text}"']).out == text


def test_a_number_stays_one_where_a_number_is_wanted():
    recipe = load_recipe("quickstart", ["seed=7", "batch_size=0x20", "micro_batch=32", "optim.base_lr=1e-1"])
    assert (recipe.seed, recipe.batch_size, recipe.optim.base_lr) == (7, 32, 0.1)
