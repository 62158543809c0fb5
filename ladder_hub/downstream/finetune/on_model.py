"""Fine-tuning on a MODEL: the run that every verb of `eval` starts, and its figures kept with what was measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from ladder_hub.downstream.finetune.run import Finetuned, Keys, Say, finetune
from ladder_hub.downstream.finetune.task import Task
from ladder_hub.downstream.record import keep
from ladder_hub.downstream.subject import open_subject
from ladder_hub.runtime.distributed import World
from ladder_hub.settings import setting


def finetune_on(
    model: str,
    verb: str,
    read: Callable[[str, Sequence[str]], Keys],
    build: Callable[[Keys, World, Say], Task],
    recipe: str,
    overrides: Sequence[str],
    *,
    resume: str | Path | None,
    safe: Sequence[str],
    console: Console | None,
) -> Finetuned[Keys] | None:
    """`finetune`, with `model` among the keys of the recipe; see there for the arguments.

    Args:
        model: MODEL as it was typed.
        verb: of `ladder-hub eval`.
        read: see `finetune`, and so are all that follow.
        build: its task.
        recipe: its name or file.
        overrides: `key=value`.
        resume: a run's folder, or `auto`.
        safe: keys that may change.
        console: for progress.
    """
    run = finetune(
        read,
        build,
        recipe,
        [setting("model", model), *overrides],
        resume=resume,
        safe=safe,
        again=f"ladder-hub eval {verb} {model}",
        console=console,
    )
    if run is None:
        return None
    metrics = keep(model, open_subject(model, seed=run.recipe.seed).artifact, run.metrics)
    return Finetuned(run.folder, run.recipe, metrics)
