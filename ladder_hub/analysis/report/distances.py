"""How far apart two views of one image lie, stage by stage, of every run and of its network untrained (Fig. 3)."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from rich.console import Console

from ladder_hub.analysis.pages.charts import chart
from ladder_hub.analysis.pages.markup import frame, note, section, table, tag
from ladder_hub.analysis.report.chosen import Chosen
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.analysis.report.settings import ReportSettings
from ladder_hub.analysis.views import analyse_views
from ladder_hub.analysis.views_figure import draw_views
from ladder_hub.analysis.views_result import ViewsAnalysis
from ladder_hub.errors import UserError


def distances(runs: Sequence[ReportedRun], chosen: Chosen, settings: ReportSettings) -> Element:
    """The section: violins, and their medians as a table.

    Raises:
        UserError: no run has an artifact.
    """
    finished = sorted((run for run in runs if run.artifact), key=lambda run: run.number)
    if not finished:
        raise UserError("no run has an artifact yet")
    models = [str(run.folder) for run in finished]
    keys = [
        f"data.images={chosen.source.spec}",
        f"n={settings.n}",
        f"seed={settings.seed}",
        f"device={settings.device}",
    ]
    found = analyse_views([*models, f"random:{models[0]}"], keys, console=Console(quiet=True))
    header, rows = found.table()
    names = {model: run.name for model, run in zip(models, finished, strict=True)}
    names[f"random:{models[0]}"] = f"{finished[0].recipe.model.backbone}, untrained"
    named = [[f"{row[0]}, {names.get(row[1], row[1])}", *row[2:]] for row in rows]
    alt = f"Violins of the distances of {found.n} pairs of views, by stage and run. {_told(found, names)}"
    return section(
        "distances",
        "Distances of views",
        tag("p", _EXPLAINED),
        frame("Violins of distances", chart(draw_views(found), alt, least=680)),
        table("Medians over pairs, and the ratio with its 95 % interval", ["stage, run", *header[2:]], named),
        *(note(f"{run.name} is not finished and is left out.") for run in runs if not run.artifact),
    )


_EXPLAINED = (
    "A network that is invariant to the augmentation puts the two views of one image close together, and views of two "
    "images apart: the ratio of both distances is then well below 1."
)


def _told(found: ViewsAnalysis, names: dict[str, str]) -> str:
    """The ratio at each stage, model by model."""
    parts = []
    for model in found.models:
        ratios = ", ".join(f"{stage.stage} {stage.ratio:.2f}" for stage in model.stages)
        parts.append(f"{names.get(model.model, model.model)}: same/other {ratios}")
    return ". ".join(parts) + "."
