"""The recipes of `eval segment`: what they say, how the rate falls, what a changed one is called."""

import pytest

from ladder_hub.downstream.segmentation.settings import read_recipe
from ladder_hub.recipe_files import names
from ladder_hub.settings import SettingError

PROTOCOLS = {
    "cityscapes_769_40k": "seg:fcn-d8-cityscapes-40k",
    "voc_512_20k": "seg:fcn-d8-voc-20k",
    "voc_small": "seg:fcn-d8-voc-small",
}


def test_the_shipped_recipes_carry_their_protocols() -> None:
    assert {name: read_recipe(name).published_protocol for name in names("segment")} == PROTOCOLS


def test_the_protocols_of_the_field() -> None:
    voc, cityscapes = read_recipe("voc_512_20k"), read_recipe("cityscapes_769_40k")
    assert (voc.steps, voc.batch_size, voc.views.crop, voc.test.window) == (20_000, 16, 512, 0)
    assert (cityscapes.steps, cityscapes.batch_size, cityscapes.views.crop) == (40_000, 8, 769)
    assert (cityscapes.test.window, cityscapes.test.stride) == (769, 513)
    assert (voc.fcn.align_corners, cityscapes.fcn.align_corners) == (False, True)
    assert (voc.data.size, cityscapes.data.size) == ((2048, 512), (2049, 1025))
    assert voc.optim == cityscapes.optim
    assert voc.views.brightness * 255 == pytest.approx(32, abs=0.001)
    assert voc.views.hue * 180 == pytest.approx(18)


def test_the_rate_is_the_polynomial() -> None:
    keys = read_recipe("voc_512_20k")
    for step in (0, 1, 9_999, 19_999):
        expected = (0.01 - 1e-4) * (1 - step / 20_000) ** 0.9 + 1e-4
        assert keys.optim.lr * keys.rate(step) == pytest.approx(expected, rel=1e-12)
    assert keys.rate(0) == 1
    assert keys.rate(19_999) * 0.01 == pytest.approx(1e-4, rel=0.02)


def test_a_changed_recipe_does_not_carry_the_papers_name() -> None:
    name = read_recipe(
        "voc_512_20k", ["steps=2000", "data.train=a.tar", "data.classes=21", "seed=3"]
    ).published_protocol
    assert name == "seg:fcn-d8-voc-20k, changed: steps=2000"
    assert (
        read_recipe("voc_512_20k", ["data.train=a.tar", "out=x", "pictures=0"]).published_protocol
        == "seg:fcn-d8-voc-20k"
    )


@pytest.mark.parametrize(
    ("recipe", "classes", "overrides", "more"),
    [
        ("cityscapes_769_40k", 19, [], ""),
        ("cityscapes_769_40k", 34, [], ", changed: data.classes=34"),
        ("voc_512_20k", 21, [], ""),
        ("voc_512_20k", 2, ["steps=5"], ", changed: steps=5 data.classes=2"),
    ],
)
def test_a_name_promises_the_classes_that_it_is_known_by(recipe, classes, overrides, more) -> None:
    keys = read_recipe(recipe, overrides)
    assert keys.protocol_on(keys.published_protocol, classes=classes) == keys.protocol + more


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("views.scale=[2.0, 0.5]", r"views.scale: the first number must not exceed the second"),
        ("data.size=[512, 2048]", "data.size: the long side first"),
        ("optim.floor=0.1", r"optim.floor: 0.1 is above optim.lr = 0.01"),
        ("test.window=16", "test: window 0, or from 32 up and stride from 1 to it; got 16 and 0"),
        ("fcn.stride=4", "fcn.stride"),
        ("data.clases=3", "did you mean data.classes"),
        ("data.classes=300", "data.classes"),
    ],
)
def test_what_a_key_cannot_have_is_told(override: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_recipe("voc_512_20k", [override])
