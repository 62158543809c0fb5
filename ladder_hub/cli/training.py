"""`recipes`, `plan`, `train`."""

import json
from typing import TYPE_CHECKING

import typer

from ladder_hub.cli.tables import show, show_metrics
from ladder_hub.cli.words import AsJson, Keys, take
from ladder_hub.errors import UserError

if TYPE_CHECKING:
    from ladder_hub.recipe_files import Kind


def recipes(as_json: AsJson = False) -> None:
    """Every recipe, one line each, and the command that takes it."""
    from ladder_hub.recipe_files import descriptions

    verbs: tuple[tuple[Kind, str], ...] = (
        ("", "train"),
        ("linear", "eval linear"),
        ("detect", "eval detect"),
        ("segment", "eval segment"),
        ("sweeps", "sweep"),
    )
    rows = [(name, verb, text) for kind, verb in verbs for name, text in descriptions(kind).items()]
    show(["recipe", "command", "what it does"], rows, as_json=as_json)


def train(keys: Keys = None) -> None:
    """Train a recipe: recipe=NAME data.train=IMAGES out=FOLDER; or go on with a run: resume=FOLDER.

    With recipe=NAME out=FOLDER resume=auto it goes on where FOLDER has a run, and starts one where not.
    """
    given, overrides = take(keys or [], "recipe", "resume")
    if ("recipe" in given) == ("resume" in given) and given.get("resume") != "auto":
        raise UserError("train takes recipe=NAME (`ladder-hub recipes` lists all), resume=FOLDER, or both: resume=auto")
    from ladder_hub.training.run import train as run_recipe

    run = run_recipe(given.get("recipe", ""), overrides, resume=given.get("resume"))
    if run is not None:
        show_metrics(run.metrics)
        typer.echo(f"{run.artifact} is done: ladder_hub.create_model({str(run.artifact)!r}, features_only=True)")


def plan(keys: Keys = None, as_json: AsJson = False) -> None:
    """What a run is and costs, before it is spent: recipe=NAME devices=8 device=a100|h100|h200|cpu|measured.

    probe=true measures on this machine; efficiency=0.2 reckons with that share of the device's peak. All other keys
    are the recipe's.
    """
    given, overrides = take(keys or [], "recipe")
    if "recipe" not in given:
        raise UserError("plan takes recipe=NAME (`ladder-hub recipes` lists all)")
    from ladder_hub.training.plan import plan as plan_recipe
    from ladder_hub.training.plan_text import render

    found = plan_recipe(given["recipe"], overrides)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else render(found))
