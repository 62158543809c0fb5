"""The verbs of `ladder-hub`: parse, call, print. Nothing is decided here.

Nothing heavy is imported before a verb needs it: `--help`, `recipes` and `list` answer without torch.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ladder_hub.errors import RunError, UserError

if TYPE_CHECKING:
    from ladder_hub.recipe_files import Kind

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
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A name, an artifact, a run, hf-hub:org/name, random:resnet50, timm:resnet50.a1_in1k."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """Every recipe, one line each, and the command that takes it."""
    from ladder_hub.recipe_files import descriptions

    verbs: tuple[tuple[Kind, str], ...] = (
        ("", "train"),
        ("linear", "eval linear"),
        ("detect", "eval detect"),
        ("segment", "eval segment"),
    )
    rows = [(name, verb, text) for kind, verb in verbs for name, text in descriptions(kind).items()]
    _show(["recipe", "command", "what it does"], rows, as_json=as_json)


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
def knn(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Nearest neighbours on frozen features: data.train=IMAGES data.val=IMAGES stage=res5|all k=[20,200]."""
    from ladder_hub.downstream.evaluation import eval_knn

    _print_metrics(eval_knn(model, keys or []), as_json=as_json)


@evaluate.command()
def linear(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Linear classifiers on frozen features: recipe=NAME data.train=IMAGES data.val=IMAGES stage=res5|all out=FOLDER.

    resume=FOLDER goes on with an interrupted one; cache=true learns on centre crops whose features are read once.
    """
    from ladder_hub.downstream.linear.settings import DEFAULT
    from ladder_hub.downstream.linear.task import eval_linear

    given, overrides = _take(keys or [], "recipe", "resume")
    run = eval_linear(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        _print_metrics(run.metrics, as_json=as_json)


@evaluate.command()
def detect(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Mask R-CNN fine-tuned on COCO JSONs: recipe=NAME data.train=JSON data.val=JSON data.images=FOLDER out=FOLDER.

    data.images may be a .tar; data.val_images=... where the images of val lie elsewhere; resume=FOLDER goes on.
    """
    from ladder_hub.downstream.detection.settings import DEFAULT
    from ladder_hub.downstream.detection.task import eval_detect

    given, overrides = _take(keys or [], "recipe", "resume")
    run = eval_detect(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        _print_metrics(run.metrics, as_json=as_json)


@evaluate.command()
def segment(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """FCN fine-tuned on masks: recipe=NAME data.train=PAIRS data.val=PAIRS data.classes=21 steps=2000 out=FOLDER.

    PAIRS is a .tar of <key>.jpg and <key>.png, a folder with images and masks, or a list. resume=FOLDER goes on.
    """
    from ladder_hub.downstream.segmentation.settings import DEFAULT
    from ladder_hub.downstream.segmentation.task import eval_segment

    given, overrides = _take(keys or [], "recipe", "resume")
    run = eval_segment(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        _print_metrics(run.metrics, as_json=as_json)


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


@app.command(name="import")
def import_(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A .pth, .ckpt, .torch, .safetensors or .npz.")],
    keys: Keys = None,
) -> None:
    """Another project's checkpoint as an artifact: from=auto|moco|lightly|... out=FOLDER branch=target arch=NAME."""
    given, overrides = _take(keys or [], "from")
    from ladder_hub.formats.importing import import_checkpoint

    report = import_checkpoint(checkpoint, overrides, layout=given.get("from", "auto"))
    _show_facts(report.facts())


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, an artifact, a run, hf-hub:org/name.")],
    keys: Keys = None,
) -> None:
    """A model in another tool's file: to=torchvision|detectron2|mmdet|mmseg|onnx|torch_export|safetensors out=FILE."""
    given, overrides = _take(keys or [], "to")
    if "to" not in given:
        raise UserError("export takes to=torchvision, detectron2, mmdet, mmseg, onnx, torch_export or safetensors")
    from ladder_hub.formats.exporting import export_model

    report = export_model(model, given["to"], overrides)
    for line in (*map(str, report.files), *report.notes):
        typer.echo(line)


@app.command()
def push(
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="The folder of an artifact or of a run.")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="On the Hub; made where there is none.")],
    keys: Keys = None,
) -> None:
    """Publish an artifact, if nothing is wrong with it: private=true revision=BRANCH tag=v1 pr=true dry=true.

    Exactly its files go, in one commit. data.license=ID states the licence of the training images on the card first;
    dry=true looks and shows, and sends nothing.
    """
    from ladder_hub.publishing.push import push as publish

    done = publish(artifact, repository, keys or [], tell=typer.echo)
    _show(["check", "result"], [(check.name, check.result) for check in done.checks])
    if done.sent is None:
        typer.echo("dry=true: nothing was sent")
    else:
        typer.echo(f"{done.sent.address} {'holds it now' if done.sent.changed else 'held it already: nothing to do'}")


@app.command()
def pull(
    words: Annotated[list[str], typer.Argument(metavar="[MODEL] KEY=VALUE", help="org/name[@revision], or all=true.")],
) -> None:
    """Fetch and verify a model: org/name, org/name@revision, a name of the zoo; or all=true. out=FOLDER copies it."""
    from ladder_hub.publishing.retrieval import retrieve

    models, settings = [word for word in words if "=" not in word], [word for word in words if "=" in word]
    if len(models) > 1:
        raise UserError(f"pull takes one model, not {' and '.join(models)}")
    for model, folder in retrieve(models[0] if models else None, settings).items():
        typer.echo(f"{model} is verified: {folder}")


@app.command()
def verify(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Whether a model is what was published: digest, keys, shapes, config, card; data.val=IMAGES measures kNN again."""
    from ladder_hub.publishing.verify import VerifyError
    from ladder_hub.publishing.verify import verify as look

    checks = look(model, keys or [])
    _show(["check", "result"], [(check.name, check.result) for check in checks], as_json=as_json)
    if problems := [check.name for check in checks if check.problems]:
        raise VerifyError(f"{model} is not what it says: {', '.join(problems)}")


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


def _print_metrics(metrics: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(metrics, indent=2))
    else:
        _show_metrics(metrics)


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
