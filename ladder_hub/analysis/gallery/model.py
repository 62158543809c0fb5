"""The page of one model: what it is, what was measured, how to load it, its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from ladder_hub import paper
from ladder_hub.analysis.gallery.cards import rendered
from ladder_hub.analysis.pages.markup import Part, note, section, table, tag
from ladder_hub.artifact.reading import ArtifactError
from ladder_hub.card import data_name, percent
from ladder_hub.documents import read_text
from ladder_hub.metrics_file import read_metrics
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.registry import Entry, ModelError, find

HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Shown:
    """A model of the zoo with what its page tells."""

    entry: Entry
    recipe: Recipe
    metrics: Sequence[dict[str, Any]]
    card: str
    """Markdown; empty where nothing is published."""

    @property
    def file(self) -> str:
        """The name of its page."""
        return f"{self.entry.name}.html"

    @property
    def best(self) -> dict[str, Any] | None:
        """The figure of the table of models: the first of res5, else the first."""
        return next((entry for entry in self.metrics if entry["stage"] == "res5"), next(iter(self.metrics), None))


def read(entry: Entry) -> Shown:
    """What `zoo/` has of a model.

    Raises:
        UserError: a file there is damaged.
    """
    if entry.status == "recipe only":
        return Shown(entry, load_recipe(entry.recipe, entry.overrides), (), "")
    recipe = load_recipe(str(entry.folder / "recipe.toml"))
    card = read_text(entry.folder / "README.md", ModelError)
    return Shown(entry, recipe, read_metrics(entry.folder / "metrics.json", ArtifactError), card)


def sections(model: Shown) -> list[Element]:
    """What stands on its page below the heading."""
    card = rendered(model.card) if model.card else [note("There is none before there are weights.")]
    return [
        section("facts", "What it is", _facts(model)),
        section("load", "How to load it", *_load(model.entry)),
        section("metrics", "Measured", *_measured(model)),
        section("paper", "The paper's figures", *_of_the_paper(model)),
        section("card", "Its card", *card),
    ]


def address(entry: Entry) -> str:
    """Of its repository on the Hub; empty where there is none."""
    return f"{HUB}/{entry.repository}/tree/{entry.revision}" if entry.repository else ""


def ladder(recipe: Recipe) -> str:
    """The levels in words."""
    return ", ".join(f"{level.stage} {level.loss} x {level.weight:g}" for level in recipe.ladder)


def _facts(model: Shown) -> Element:
    entry, recipe = model.entry, model.recipe
    where = address(entry)
    rows: list[list[Part]] = [
        ["weights", entry.status],
        ["network", entry.architecture],
        ["method", recipe.method],
        ["ladder", ladder(recipe)],
        ["epochs", f"{recipe.epochs:,}"],
        ["batch size", f"{recipe.batch_size:,}"],
        ["image size", f"{recipe.data.image_size} pixels"],
        ["recipe", tag("code", " ".join([entry.recipe, *entry.overrides]))],
        ["trained by", tag("code", entry.command)],
        ["licence of the weights", entry.license or "none published"],
        ["repository", tag("a", entry.repository, href=where) if where else "none yet"],
        ["sha256 of model.safetensors", tag("code", entry.sha256) if entry.sha256 else "none published"],
    ]
    return table(recipe.description, (), rows)


def _load(entry: Entry) -> list[Element]:
    name = entry.name.partition(".")[0]
    plain = find(name).name == entry.name  # the name without its tag means this model
    known = name if plain else entry.name
    repository = f"{entry.repository}@{entry.revision}" if entry.repository else "ORG/NAME"
    parts = [_code("With ladder-hub, verified before it is built", _OURS.replace("NAME", known))]
    if entry.repository or not entry.published:
        parts.append(_code("With timm alone", _TIMM.replace("REPOSITORY", repository)))
    if plain:
        parts.append(_code("With torch.hub", _TORCH.replace("NAME", known)))
    if entry.published:
        return parts
    how = tag("p", "No weights are published yet: ", tag("code", entry.command), " trains it. Once they are:")
    return [how, *parts]


def _code(heading: str, text: str) -> Element:
    return tag("div", tag("h3", heading), tag("pre", tag("code", text), tabindex="0"))


def _measured(model: Shown) -> list[Element]:
    if not model.metrics:
        return [note("Nothing yet.")]
    rows = [
        [entry["protocol"], entry["stage"], entry["metric"], *_figures(entry), data_name(entry["data"]["val"])]
        for entry in model.metrics
    ]
    columns = ["protocol", "stage", "metric", "%", "95 % interval", "n", "before training", "validation images"]
    return [table("By ladder-hub eval, on these weights", columns, rows)]


def _figures(entry: dict[str, Any]) -> list[str]:
    interval, before = entry.get("ci95"), entry.get("baseline")
    told = f"{percent(interval[0])} to {percent(interval[1])}" if interval else "none"
    return [percent(entry["value"]), told, f"{entry['n']:,}", "not measured" if before is None else percent(before)]


def _of_the_paper(model: Shown) -> list[Element]:
    recipe, names = model.recipe, paper.tasks()
    if model.entry.architecture != "resnet50":
        return [note("The paper has none of this network.")]
    found = paper.printed(recipe.method, recipe.epochs)
    if not found:
        return [note("None of this setting is at hand.")]
    rows = [
        [names[task], f"{figure:g}", ", ".join(map(str, tables))]
        for task, figures in found.items()
        for figure, tables in figures.items()
    ]
    caption = f"{paper.SOURCE} prints these; nobody has measured them on weights of this zoo"
    return [table(caption, ["task", "%", "of table"], rows)]


_OURS = """import ladder_hub

model = ladder_hub.create_model("NAME", pretrained=True, features_only=True)
"""
_TIMM = """import timm

model = timm.create_model("hf-hub:REPOSITORY", pretrained=True, features_only=True, out_indices=(1, 2, 3, 4))
"""
_TORCH = """import torch

model = torch.hub.load("ORG/REPOSITORY", "NAME", pretrained=True)
"""
