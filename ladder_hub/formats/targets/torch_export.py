"""For torch alone: an ExportedProgram, which runs without timm and without us."""

import io
from pathlib import Path

import torch

from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path, example_images
from ladder_hub.formats.targets.program import CHECKS, SMALLEST, largest_difference, traced


def make(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """A .pt2 of the four maps, free in batch and size, equal to the network's on two sizes."""
    checked_path(out, ".pt2", "torch_export")
    pyramid, program = traced(model)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    copy = torch.export.load(buffer).module()
    worst = max(largest_difference(pyramid, copy, images) for images in example_images(*CHECKS))
    if worst > 1e-5:
        raise FormatError(f"the exported program differs from the network by {worst:g}; nothing was written")
    return Product(
        buffer.getvalue(),
        notes=(
            f'res2, res3, res4, res5 = torch.export.load("{out}").module()(images)',
            f"at least {SMALLEST} pixels a side",
        ),
    )
