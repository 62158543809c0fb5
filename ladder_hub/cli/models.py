"""Models: `list`, `info`, `import`, `export`, `push`, `pull`, `verify`, `reproduce`."""

import json
from typing import Annotated

import typer

from ladder_hub.cli.tables import show, show_facts, show_metrics
from ladder_hub.cli.words import AsJson, Keys, Published, take
from ladder_hub.errors import UserError


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
    show(["model", "network", "recipe", "weights"], rows, as_json=as_json)


def info(model: Published, as_json: AsJson = False) -> None:
    """What a model is: its files verified, its stages, what was measured."""
    from ladder_hub.info import describe

    facts = describe(model)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    show_facts(facts["model"])
    show(["stage", "stride", "channels"], facts["stages"])
    show_metrics(facts["metrics"])


def import_(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A .pth, .ckpt, .torch, .safetensors or .npz.")],
    keys: Keys = None,
) -> None:
    """Another project's checkpoint as an artifact: from=auto|moco|lightly|... out=FOLDER branch=target arch=NAME."""
    given, overrides = take(keys or [], "from")
    from ladder_hub.formats.importing import import_checkpoint

    report = import_checkpoint(checkpoint, overrides, layout=given.get("from", "auto"))
    show_facts(report.facts())


def export(model: Published, keys: Keys = None) -> None:
    """A model in another tool's file: to=torchvision|detectron2|mmdet|mmseg|onnx|torch_export|safetensors out=FILE."""
    given, overrides = take(keys or [], "to")
    if "to" not in given:
        raise UserError("export takes to=torchvision, detectron2, mmdet, mmseg, onnx, torch_export or safetensors")
    from ladder_hub.formats.exporting import export_model

    report = export_model(model, given["to"], overrides)
    for line in (*map(str, report.files), *report.notes):
        typer.echo(line)


def push(
    artifact: Annotated[str, typer.Argument(metavar="ARTIFACT", help="The folder of an artifact or of a run.")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="On the Hub; made where there is none.")],
    keys: Keys = None,
) -> None:
    """Publish an artifact, if nothing is wrong with it: private=true revision=BRANCH tag=v1 pr=true dry=true.

    Exactly its files go, in one commit. name=TEXT, description=TEXT and data.license=ID (of the training images) are
    written onto the card first. heads=false leaves the heads out, out=FOLDER keeps a copy of what goes. dry=true looks
    and shows, and sends nothing.
    """
    from ladder_hub.publishing.push import push as publish

    done = publish(artifact, repository, keys or [], tell=typer.echo)
    show(["check", "result"], [(check.name, check.result) for check in done.checks])
    if done.sent is None:
        typer.echo("dry=true: nothing was sent")
    else:
        typer.echo(f"{done.sent.address} {'holds it now' if done.sent.changed else 'held it already: nothing to do'}")


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


def verify(model: Published, keys: Keys = None, as_json: AsJson = False) -> None:
    """Whether a model is what was published: digest, keys, shapes, config, card; data.val=IMAGES measures kNN again."""
    from ladder_hub.publishing.verify import VerifyError
    from ladder_hub.publishing.verify import verify as look

    checks = look(model, keys or [])
    show(["check", "result"], [(check.name, check.result) for check in checks], as_json=as_json)
    if problems := [check.name for check in checks if check.problems]:
        raise VerifyError(f"{model} is not what it says: {', '.join(problems)}")


def reproduce(model: Published, keys: Keys = None, as_json: AsJson = False) -> None:
    """Train a model again from its own recipe and compare: data.train=IMAGES data.val=IMAGES out=FOLDER."""
    from ladder_hub.publishing.reproduce import ReproduceError
    from ladder_hub.publishing.reproduce import reproduce as train_again

    given, overrides = take(keys or [], "resume")
    checks = train_again(model, overrides, resume=given.get("resume"))
    if checks is None:
        return
    show(["check", "result"], [(check.name, check.result) for check in checks], as_json=as_json)
    if problems := [check.name for check in checks if check.problems]:
        raise ReproduceError(f"{model} did not come out again: {', '.join(problems)}")
