"""What the network was shown, and how far apart it puts two views of one image."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree.ElementTree import Element

from PIL import Image

from ladder_hub.analysis.pages.markup import Part, frame, section, tag
from ladder_hub.analysis.pages.pictures import photograph
from ladder_hub.analysis.report.chosen import Chosen
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.recipe import Recipe
from ladder_hub.training.inputs import write_preview

_LONGEST = 1250


def sheets(runs: Sequence[ReportedRun], chosen: Chosen) -> Element:
    """The section of the sheets of views: one for each way of making them among the runs."""
    ways: dict[str, list[ReportedRun]] = {}
    for run in runs:
        keys = run.recipe.views.model_dump_json(exclude={"preview"})
        ways.setdefault(f"{keys} {run.recipe.data.image_size} {run.recipe.seed}", []).append(run)
    parts: list[Part] = []
    for alike in ways.values():
        parts += [tag("h3", ", ".join(run.name for run in alike)), _sheet(alike[0].recipe, chosen)]
    return section("views", "Views", tag("p", "Images as they are, and the two views that training makes."), *parts)


def _sheet(recipe: Recipe, chosen: Chosen) -> Element:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "views.png"
        data = recipe.data.model_copy(update={"train": chosen.source.spec, "samples": 0})
        views = recipe.views.model_copy(update={"preview": str(path)})
        count = write_preview(recipe.model_copy(update={"data": data, "views": views}))
        picture = Image.open(path).convert("RGB")
    low, high = recipe.views.crop_scale
    told = (
        f"{count} images, each above its two views: crops of {low:.0%} to {high:.0%} of the area at "
        f"{recipe.data.image_size} pixels, {recipe.views.jitter:.0%} with other colours, {recipe.views.grey:.0%} grey"
    )
    sheet = photograph(picture, told, most=_LONGEST, style="min-width: 640px")
    return tag("figure", frame("Sheet of views", sheet), tag("figcaption", told + "."))
