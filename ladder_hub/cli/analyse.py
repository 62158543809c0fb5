"""`analyse`: see inside models and runs, as the paper's sections 3.4 and 4.3 do."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ladder_hub.cli.tables import show
from ladder_hub.cli.words import AsJson, Keys, Models, split, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

analyse = typer.Typer(help="See inside models and runs: the paper's analyses.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or an artifact with its heads.")]

Figures = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE] KEY=VALUE", help="A table of methods and tasks, and settings.")
]

Table = Annotated[list[str] | None, typer.Argument(metavar="[TABLE.json] out=NAME", help="A table that sweep wrote.")]


@analyse.command()
def views(words: Models, as_json: AsJson = False) -> None:
    """How far apart two views of one image lie at res2..res5: data.images=IMAGES n=256 recipe=NAME out=NAME.

    random:resnet50, random:runs/mine are models too. out=NAME writes NAME.json, NAME.png and NAME.svg.
    """
    from ladder_hub.analysis.views import analyse_views
    from ladder_hub.analysis.views_figure import draw_views

    models, keys = split(words)
    out, keys = _out(keys)
    _tell(analyse_views(models, keys), draw_views, out, as_json=as_json)


@analyse.command()
def gradients(run: Run, keys: Keys = None, as_json: AsJson = False) -> None:
    """Where in an image the losses above a stage act on its map: data.images=IMAGES n=8 lower=res2 out=NAME.

    images=[3,17] names the images. It needs the heads: a run, or an artifact that was published with them.
    """
    from ladder_hub.analysis.gradients import analyse_gradients
    from ladder_hub.analysis.gradients_figure import draw_gradients

    out, others = _out(keys or [])
    _tell(analyse_gradients(run, others), draw_gradients, out, as_json=as_json)


@analyse.command()
def stages(words: Models, as_json: AsJson = False) -> None:
    """Top-1 of res2..res5 of several models: data.train=IMAGES data.val=IMAGES probe=knn|linear out=NAME.

    recipe=NAME is that of probe=linear; every other key is that of `eval knn` or `eval linear`.
    """
    from ladder_hub.analysis.stages import analyse_stages
    from ladder_hub.analysis.stages_figure import draw_stages

    models, keys = split(words)
    out, keys = _out(keys)
    given, overrides = take(keys, "probe", "recipe")
    runs = out and out.with_name(f"{out.name}.runs")
    probe, recipe = given.get("probe", "knn"), given.get("recipe", "")
    result = analyse_stages(models, overrides, probe=probe, recipe=recipe, runs=runs)
    if result is not None:
        _tell(result, draw_stages, out, as_json=as_json)


@analyse.command()
def collapse(words: Models, as_json: AsJson = False) -> None:
    """Rank and variance of every stage of runs, and the kind of collapse: data.images=IMAGES n=512 out=NAME.

    Projections at every logged step; stages at every checkpoint that a run has kept. Models have their stages alone.
    """
    from ladder_hub.analysis.collapse import analyse_collapse
    from ladder_hub.analysis.collapse_figure import draw_collapse

    runs, keys = split(words)
    out, keys = _out(keys)
    result = analyse_collapse(runs, keys)
    _tell(result, draw_collapse, out, result.verdicts(), as_json=as_json)


@analyse.command(name="collapse-demo")
def collapse_demo(keys: Keys = None, as_json: AsJson = False) -> None:
    """The constant solution entered on purpose, beside healthy runs: stage=res3 steps=40 seed=0 out=NAME.

    A tiny network on the embedded shapes, about a minute; where the constant is found, and in which order.
    """
    from ladder_hub.analysis.collapse_demo import demonstrate_collapse
    from ladder_hub.analysis.collapse_figure import draw_demo

    out, others = _out(keys or [])
    result = demonstrate_collapse(others)
    _tell(result, draw_demo, out, result.verdicts(), as_json=as_json)


@analyse.command()
def correlations(words: Figures = None, as_json: AsJson = False) -> None:
    """Pearson's r between tasks over methods, with n and p: FILE.csv, FILE.toml, table=2 (the paper's) or zoo=true.

    out=NAME writes NAME.json, NAME.png and NAME.svg.
    """
    from ladder_hub.analysis.correlations import analyse_correlations
    from ladder_hub.analysis.correlations_figure import draw_correlations

    files, keys = split(words or [])
    out, keys = _out(keys)
    result = analyse_correlations(files, keys)
    _tell(result, draw_correlations, out, result.notes(), as_json=as_json)


@analyse.command()
def claims(words: Table = None, as_json: AsJson = False) -> None:
    """Which of the paper's claims hold in a sweep's table.json (none: this project's own runs), with 95 % intervals.

    out=NAME writes NAME.json, NAME.png and NAME.svg.
    """
    from ladder_hub.analysis.claims import analyse_claims
    from ladder_hub.analysis.claims_figure import draw_claims

    files, keys = split(words or [])
    out, others = _out(keys)
    result = analyse_claims(files, others)
    _tell(result, draw_claims, out, result.notes(), as_json=as_json)


def _out(keys: list[str]) -> "tuple[Path | None, list[str]]":
    """Where `out=NAME` says that the files go, and the other keys."""
    from ladder_hub.analysis.outputs import place_for

    given, others = take(keys, "out")
    return place_for(given["out"]) if "out" in given else None, others


def _tell(
    result: Any, draw: "Callable[[Any], Any]", out: "Path | None", notes: Sequence[str] = (), *, as_json: bool
) -> None:
    """Print an analysis and what is to be said of it, and write its files where they are asked for."""
    facts = result.to_dict()
    if as_json:
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
    else:
        show(*result.table())
        for note in notes:
            typer.echo(note)
    if out is not None:
        from ladder_hub.analysis.outputs import write_outputs

        for file in write_outputs(out, facts, draw(result)):
            typer.echo(str(file), err=as_json)
