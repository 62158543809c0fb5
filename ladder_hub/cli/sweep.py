"""`sweep`: a table of the paper, run and printed."""

import json
from typing import Annotated

import typer

from ladder_hub.cli.tables import show
from ladder_hub.cli.words import AsJson, Keys


def sweep(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="table1, table4, ..., table7, or a TOML file.")],
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """A table of the paper as runs: scale=tiny64|in1k seeds=[0,1] jobs=1 data.train=IMAGES data.val=IMAGES out=FOLDER.

    The same command goes on where it stopped; show=true prints what is finished and runs nothing. evals=['knn
    stage=all', ...] are the command lines of `eval` that measure each run. All other keys are the runs'.
    """
    from ladder_hub.sweeps.run import sweep as run_sweep
    from ladder_hub.sweeps.written import header_and_rows, notes

    swept = run_sweep(name, keys or [])
    if as_json:
        typer.echo(json.dumps(swept.table.to_dict(), indent=2))
    else:
        typer.echo(swept.table.title)
        show(*header_and_rows(swept.table))
        for line in (*notes(swept.table), *map(str, swept.files)):
            typer.echo(line)
    swept.check()
