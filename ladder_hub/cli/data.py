"""`check`: a data set before it is used."""

import json

import typer

from ladder_hub.cli.tables import show
from ladder_hub.cli.words import AsJson, Keys, split
from ladder_hub.errors import UserError


def check(words: Keys = None, as_json: AsJson = False) -> None:
    """Look at data before it is used: check DATA, or data.train=IMAGES data.val=IMAGES; out=page.html has pictures.

    DATA is whatever training and the evaluations read: a folder, tar shards, hf:org/name, pairs of image and mask, a
    COCO JSON with data.images=FOLDER. n=20000 images of each set are decoded. Status 2 where a figure would lie.
    """
    from ladder_hub.check.run import check as look
    from ladder_hub.check.told import to_json, to_lines

    alone, keys = split(words or [])
    if len(alone) > 1:
        raise UserError(f"check takes one source, not {' and '.join(alone)}; data.train= and data.val= name two")
    report = look(alone[0] if alone else "", keys)
    if as_json:
        typer.echo(json.dumps(to_json(report), indent=2))
    else:
        show(["what", "found"], to_lines(report))
    if report.faults:
        raise UserError(f"an evaluation of this would lie: {'; '.join(report.faults)}")
