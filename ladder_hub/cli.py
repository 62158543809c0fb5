"""The verbs of `ladder-hub`: parse, call, print. Nothing is decided here.

Nothing heavy is imported before a verb needs it: `--help`, `recipes` and `list` answer without torch.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from ladder_hub.errors import RunError, UserError

app = typer.Typer(
    name="ladder-hub",
    help="Train, judge and load Ladder Siamese backbones. Settings are key=value, dotted for nested keys.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate = typer.Typer(help="Measure a model under a named protocol.", no_args_is_help=True)
app.add_typer(evaluate, name="eval")

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings, such as epochs=50.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """Every recipe, one line each."""
    from ladder_hub.recipe import load_recipe, recipe_names

    rows = [(name, load_recipe(name).description) for name in recipe_names()]
    _show(["recipe", "what it trains"], rows, as_json=as_json)


@app.command()
def train(keys: Keys = None) -> None:
    """Train a recipe: recipe=NAME data.train=IMAGES out=FOLDER; or go on with a run: resume=FOLDER.

    With recipe=NAME out=FOLDER resume=auto it goes on where FOLDER has a run, and starts one where not.
    """
    given, overrides = _take(keys or [], "recipe", "resume")
    if ("recipe" in given) == ("resume" in given) and given.get("resume") != "auto":
        raise UserError("train takes recipe=NAME (`ladder-hub recipes` lists all), resume=FOLDER, or both: resume=auto")
    from ladder_hub.training.run import train as run_recipe

    run = run_recipe(given.get("recipe", ""), overrides, resume=given.get("resume"))
    if run is not None:
        _show_metrics(run.metrics)
        typer.echo(f"{run.artifact} is done: ladder_hub.create_model({str(run.artifact)!r}, features_only=True)")


@app.command()
def plan(keys: Keys = None, as_json: AsJson = False) -> None:
    """What a run is and costs, before it is spent: recipe=NAME devices=8 device=a100|h100|h200|cpu|measured.

    probe=true measures on this machine; efficiency=0.2 reckons with that share of the device's peak. All other keys
    are the recipe's.
    """
    given, overrides = _take(keys or [], "recipe")
    if "recipe" not in given:
        raise UserError("plan takes recipe=NAME (`ladder-hub recipes` lists all)")
    from ladder_hub.training.plan import plan as plan_recipe
    from ladder_hub.training.plan_text import render

    found = plan_recipe(given["recipe"], overrides)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else render(found))


@evaluate.command()
def knn(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, an artifact, a run, hf-hub:org/name.")],
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Nearest neighbours on frozen features: data.train=IMAGES data.val=IMAGES stage=res5|all k=20 temperature=0.07."""
    from ladder_hub.downstream.evaluation import eval_knn

    metrics = eval_knn(model, keys or [])
    if as_json:
        typer.echo(json.dumps(metrics, indent=2))
    else:
        _show_metrics(metrics)


@app.command(name="list")
def list_(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Such as 'ladder*'.")] = "*",
    as_json: AsJson = False,
) -> None:
    """The models of the zoo: name, network, recipe, and whether weights can be had."""
    from ladder_hub.registry import find, list_models

    found = [find(name) for name in list_models(pattern)]
    if not found:
        raise UserError(f"no model matches {pattern!r}; `ladder-hub list` shows all")
    rows = [(entry.name, entry.architecture, entry.recipe, entry.status) for entry in found]
    _show(["model", "network", "recipe", "weights"], rows, as_json=as_json)


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, an artifact, a run, hf-hub:org/name.")],
    as_json: AsJson = False,
) -> None:
    """What a model is: its files verified, its stages, what was measured."""
    from ladder_hub.info import describe

    facts = describe(model)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    _show_facts(facts["model"])
    _show(["stage", "stride", "channels"], facts["stages"])
    _show_metrics(facts["metrics"])


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console command. Errors are one line on standard error: status 2 the user's, 1 the run's."""
    # Read when torch is first imported: idle OpenMP threads that spin take the cores from the loader's processes,
    # and a step on two cores takes several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        status = app([word for word in words if word != "--debug"], standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        sys.exit(_report(error))
    except KeyboardInterrupt:
        sys.exit(_report(RunError("stopped"), status=130))
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: Exception, *, status: int | None = None) -> int:
    """One line on standard error; the exit status."""
    if isinstance(error, UserError | RunError):
        message, code = str(error), error.exit_status
    elif isinstance(error, OSError):
        message, code = f"{error.filename or 'the system'}: {error.strerror or error}", 1
    elif hasattr(error, "format_message"):  # typer's own: a missing argument, an unknown option
        message, code = error.format_message(), 2
    else:
        kind = type(error).__name__
        message, code = f"{kind}: {error} (an error of ladder-hub's own; --debug shows where)", 1
    if message:  # typer has printed the help itself where a verb is missing
        print("ladder-hub:", " ".join(message.split()), file=sys.stderr)
    return code if status is None else status


def _take(keys: Sequence[str], *names: str) -> tuple[dict[str, str], list[str]]:
    """Split off the keys that are the verb's own."""
    taken = {key.partition("=")[0]: key.partition("=")[2] for key in keys if key.partition("=")[0] in names}
    return taken, [key for key in keys if key.partition("=")[0] not in names]


def _show(header: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
        return
    table = [list(header), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_facts(facts: dict[str, Any]) -> None:
    width = max(len(key) for key in facts) + 2
    for key, value in facts.items():
        typer.echo(f"{key:<{width}}{value}")


def _show_metrics(metrics: Sequence[dict[str, Any]]) -> None:
    rows = []
    for entry in metrics:
        before = "" if entry.get("baseline") is None else f"{entry['baseline']:.1%}"
        interval = "{:.1%} to {:.1%}".format(*entry["ci95"]) if entry.get("ci95") else ""
        rows.append(
            (entry["protocol"], entry["stage"], entry["metric"], f"{entry['value']:.1%}", interval, entry["n"], before)
        )
    if rows:
        _show(["protocol", "stage", "metric", "value", "95 % interval", "n", "before training"], rows)
