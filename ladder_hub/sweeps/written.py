"""A sweep's table for people: as text, Markdown, JSON and bars."""

import json
from collections.abc import Sequence
from pathlib import Path

from ladder_hub import paper
from ladder_hub.downstream.metrics import MAIN
from ladder_hub.sweeps.bars import draw_table
from ladder_hub.sweeps.table import Column, Table, Value
from ladder_hub.weights import write_whole

_WORDS = {"top1": "top-1", "miou": "mIoU", "box_ap": "box AP", "mask_ap": "mask AP"}


def shown_columns(table: Table) -> dict[Column, str]:
    """The columns that people see, and their headings: `linear res5 top-1`."""
    kinds = _kinds(table)
    headings = {}
    for column in table.columns:
        if column.metric in MAIN:
            stage = "" if column.stage == "pyramid" else f" {column.stage}"
            headings[column] = f"{kinds[_measured(column)]}{stage} {_WORDS[column.metric]}"
    return headings


def _measured(column: Column) -> tuple[str, str, int]:
    return column.protocol, column.data, column.n


def _kinds(table: Table) -> dict[tuple[str, str, int], str]:
    """What headings call a protocol with its images: the first word, and a number where several begin so."""
    found = dict.fromkeys(_measured(column) for column in table.columns if column.metric in MAIN)
    first = [protocol.partition(":")[0] for protocol, _, _ in found]
    numbers = [
        f" {first[: place + 1].count(word)}" if first.count(word) > 1 else "" for place, word in enumerate(first)
    ]
    return {key: word + number for key, word, number in zip(found, first, numbers, strict=True)}


def header_and_rows(table: Table) -> tuple[list[str], list[list[str]]]:
    """The table as text: a row a cell, figures in percent, the paper's in columns of their own."""
    headings = shown_columns(table)
    printed = {row.name: row.printed for row in table.rows if row.printed}
    tasks = [task for task in paper.tasks() if any(task in row.figures for row in printed.values())]
    header = ["", "epochs", "seeds", *headings.values()]
    header += ["paper: epochs", *(f"paper: {paper.tasks()[task]}" for task in tasks)] if tasks else []
    rows = []
    for row in table.rows:
        cells = [row.label, "0" if row.epochs is None and row.values else str(row.epochs or ""), str(len(row.seeds))]
        cells += [_figure(row.values.get(column), len(row.seeds)) for column in headings]
        rows.append(cells + _paper(printed.get(row.name), tasks))
    return header, rows


def _figure(value: Value | None, seeds: int) -> str:
    """`41.2 ± 0.3`, and `(n = 1)` where not every seed was measured."""
    if value is None:
        return ""
    spread = "" if value.std is None else f" ± {100 * value.std:.1f}"
    return f"{100 * value.mean:.1f}{spread}" + ("" if len(value.by_seed) == seeds else f" (n = {len(value.by_seed)})")


def _paper(row: paper.Row | None, tasks: Sequence[str]) -> list[str]:
    if not tasks:
        return []
    if row is None:
        return [""] * (1 + len(tasks))
    figures = [f"{row.figures[task]:.1f}" if task in row.figures else "" for task in tasks]
    return ["not said" if row.epochs is None else str(row.epochs), *figures]


def notes(table: Table) -> list[str]:
    """What has to be known to read the table."""
    lines = ["Percent; mean ± standard deviation over seeds (n - 1; none of a single seed). Untrained: the floor."]
    for (protocol, data, n), kind in _kinds(table).items():
        lines.append(f"{kind}: {protocol} on {n:,} images of {json.loads(data)['val'].get('name', '?')}.")
    if any(row.printed for row in table.rows):
        lines.append(f"paper: {paper.SOURCE}, its table, its data and its protocol; nothing of it was measured here.")
    return [*lines, *table.unfinished]


def markdown(table: Table) -> str:
    """The table and its notes."""
    header, rows = header_and_rows(table)
    lines = [header, ["---"] * len(header), *rows]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"# {table.title}\n\n{body}\n\n" + "".join(f"- {line}\n" for line in notes(table))


def write_table(table: Table, out: Path) -> tuple[Path, ...]:
    """table.md and table.json in `out`, and bars where anything was measured."""
    text = json.dumps(table.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in (("table.md", markdown(table)), ("table.json", text)):
        write_whole(out / name, [content.encode()])
    columns = shown_columns(table)
    pictures = draw_table(table, columns, out / "table") if columns else []
    return (out / "table.md", out / "table.json", *pictures)
