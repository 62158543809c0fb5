"""The stages themselves: what kind of collapse each is in, of the newest network that a run has left (Sec. 3.4)."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from rich.console import Console

from ladder_hub.analysis.collapse import analyse_collapse
from ladder_hub.analysis.collapse_result import NetworkReading
from ladder_hub.analysis.pages.markup import Part, table, tag
from ladder_hub.analysis.report.chosen import Chosen
from ladder_hub.analysis.report.overview import named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.analysis.report.settings import ReportSettings
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.errors import UserError


def stage_readings(runs: Sequence[ReportedRun], chosen: Chosen, settings: ReportSettings) -> list[Element]:
    """A line a run, and a table: rows are stages, columns runs.

    Raises:
        UserError: no run has left weights.
    """
    there = [run for run in runs if run.weights]
    if not there:
        raise UserError("no run has left weights yet")
    keys = [f"data.images={chosen.source.spec}", f"n={settings.n}", f"device={settings.device}"]
    found = analyse_collapse([run.weights for run in there], keys, console=Console(quiet=True))
    newest = [run.networks[-1] for run in found.runs]
    rows: list[list[Part]] = [[stage, *(_cell(network, stage) for network in newest)] for stage in STAGE_NAMES]
    caption = f"Pooled maps of {newest[0].n:,} images: spread of unit vectors (0: all images alike) and effective rank"
    verdicts = (
        tag("p", f"{run.name}: {told.verdict}.", class_="" if told.verdict == "no stage has collapsed" else "warning")
        for run, told in zip(there, found.runs, strict=True)
    )
    return [tag("h3", "Stages of the newest network"), *verdicts, table(caption, ["stage", *map(named, there)], rows)]


def _cell(network: NetworkReading, stage: str) -> Element:
    reading = network.stages[stage]
    pooled = reading.pooled
    verdict = "not collapsed" if reading.verdict == "none" else f"{reading.verdict} collapse"
    figures = f"std {pooled.std:.3f}, rank {pooled.centred_rank:.1f} of {pooled.allowed}"
    return tag("td", verdict, tag("br"), tag("small", figures))
