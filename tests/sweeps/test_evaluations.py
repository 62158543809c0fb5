"""Command lines of `eval` inside a sweep, and the files of their figures."""

from pathlib import Path

import pytest

from ladder_hub.errors import UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.sweeps.evaluations import Figures, parse, read_figures

RECIPE = load_recipe("tiny64_byol", ["data.train=a b.tar", "data.val=v.tar"])


def test_knn_and_linear_take_the_runs_images() -> None:
    assert parse("knn stage=all", RECIPE).keys == ("stage=all", "data.train=a b.tar", "data.val=v.tar")
    assert parse("linear data.val=other", RECIPE).keys == ("data.val=other", "data.train=a b.tar")
    assert parse("segment data.classes=21", RECIPE).keys == ("data.classes=21",)


def test_the_command() -> None:
    knn, segment = parse("knn stage=all", RECIPE), parse("segment 'data.train=my pairs'", RECIPE)
    assert knn.words("random:run", 3, Path("x")) == ("eval", "knn", "random:run", *knn.keys, "seed=3", "--json")
    assert segment.words("run", 0, Path("x")) == (
        *("eval", "segment", "run", "data.train=my pairs", "seed=0", "out=x", "resume=auto", "--json"),
    )


def test_what_tells_evaluations_apart() -> None:
    texts = ("knn stage=all", "knn stage=all k=3", "linear stage=all", "knn  stage=all")
    slugs = [parse(text, RECIPE).slug for text in texts]
    assert slugs[0] == slugs[3]
    assert len(set(slugs)) == 3
    assert all(slug.startswith(text.split()[0] + "-") for slug, text in zip(slugs, texts, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begin with one of knn, linear, detect, segment"),
        ("kn stage=all", "did you mean knn?"),
        ("knn 'stage=all", "no closing quotation"),
        ("knn runs/mine", "'runs/mine' is not key=value; MODEL is left out"),
        ("segment out=x", "out is decided by the sweep; leave it out"),
        ("knn seed=1", "seed is decided by the sweep"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text, RECIPE)
    assert message in str(error.value)


def test_images_that_nobody_named_are_missed_before_anything_runs() -> None:
    with pytest.raises(UserError, match="data.val is missing here and among the runs' keys"):
        parse("knn", load_recipe("tiny64_byol", ["data.train=a"]))


def test_figures_survive_their_file_and_damage_is_told(tmp_path) -> None:
    entry = {"protocol": "p", "stage": "res5", "metric": "top1", "value": 0.5, "n": 7, "data": {}}
    figures = Figures("knn", "ab", [entry])
    figures.write(tmp_path / "f.json")
    assert read_figures(tmp_path / "f.json") == figures
    for text in ("{}", "[]", '{"evaluation": "knn", "weights": "ab", "entries": [{"value": "much"}]}'):
        (tmp_path / "f.json").write_text(text)
        with pytest.raises(UserError, match="holds no figures of an evaluation; delete it"):
            read_figures(tmp_path / "f.json")
