"""`analyse stages`: what each stage of several models is worth, side by side (the paper's Table 7).

Nothing is measured here but through `eval knn` and `eval linear`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ladder_hub.analysis.labels import short_names
from ladder_hub.analysis.stages_result import Figure, ModelStages, StagesAnalysis
from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.downstream.linear.task import eval_linear
from ladder_hub.downstream.metrics import Facts
from ladder_hub.errors import UserError
from ladder_hub.settings import nearest, setting

PROBES = ("knn", "linear")
_TABLE_7 = "stages_gap"


def analyse_stages(
    models: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    probe: str = "knn",
    recipe: str = "",
    runs: Path | None = None,
    console: Console | None = None,
) -> StagesAnalysis | None:
    """Top-1 of res2..res5 of every model under one protocol.

    The figures are those of `eval knn stage=all k=20`, or `eval linear recipe=RECIPE stage=all`. Like theirs they are
    kept with an artifact of the user's own.

    Args:
        models: whatever `open_subject` takes; the data is left out only where each lies in its run.
        overrides: `key=value` for the keys of that command: data.train, data.val, image_size, k, epochs, ...
        probe: `knn` or `linear`.
        recipe: of `linear`; empty: `stages_gap`, Table 7's.
        runs: where `linear` keeps its runs, a folder a model; given again, it goes on with them. None: runs/<recipe>.
        console: where progress goes; None: standard error.

    Returns:
        The figures; None on all processes but the first.

    Raises:
        UserError: an unknown key or probe, data without labels, a model that can't be had.
        RunError: a run of `linear` failed or was interrupted; the message says how to go on.
    """
    if not models:
        raise UserError("analyse stages takes at least one MODEL")
    if probe not in PROBES:
        raise UserError(f"probe={probe} is neither knn nor linear{nearest(probe, PROBES)}")
    if recipe and probe == "knn":
        raise UserError(f"recipe={recipe} belongs to probe=linear; kNN has none")
    measure = _knn(overrides, console) if probe == "knn" else _linear(recipe or _TABLE_7, overrides, runs, console)
    found = []
    for model, name in zip(models, short_names(models), strict=True):
        entries = measure(model, name)
        if entries:
            found.append(_of(model, entries))
    return StagesAnalysis(tuple(found)) if found else None


Measure = Callable[[str, str], list[Facts]]
"""From MODEL and its short name to entries as in metrics.json."""


def _knn(overrides: Sequence[str], console: Console | None) -> Measure:
    return lambda model, _: eval_knn(model, ["k=20", *overrides, "stage=all"], console=console)


def _linear(recipe: str, overrides: Sequence[str], runs: Path | None, console: Console | None) -> Measure:
    def measure(model: str, name: str) -> list[Facts]:
        keys, resume = [*overrides, "stage=all"], None
        if runs is not None:
            folder = runs / re.sub(r"[^\w.-]+", "-", name)
            keys, resume = [*keys, setting("out", str(folder))], "auto"
        run = eval_linear(model, recipe, keys, resume=resume, console=console)
        return [] if run is None else run.metrics

    return measure


def _of(model: str, entries: Sequence[Facts]) -> ModelStages:
    """Top-1 of each stage; of several protocols (several k) the first."""
    first: Any = entries[0]
    own = [entry for entry in entries if entry["protocol"] == first["protocol"] and entry["metric"] == "top1"]
    figures = {entry["stage"]: Figure(entry["value"], tuple(entry["ci95"]), entry["n"]) for entry in own}
    return ModelStages(
        model, first["weights"], first["protocol"], first["data"], {stage: figures[stage] for stage in STAGE_NAMES}
    )
