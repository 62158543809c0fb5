"""What each stage sees: the three strongest directions of its map as red, green and blue.

Shapes: N images, C channels, H x W cells of a stage.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
import torch
from torch import Tensor

from ladder_hub.analysis.collapse_networks import Network, networks
from ladder_hub.analysis.pages.markup import Part, note, section, table, tag
from ladder_hub.analysis.pages.pictures import cells, photograph
from ladder_hub.analysis.report.chosen import Chosen, short_key
from ladder_hub.analysis.report.overview import named
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.backbone import STAGE_NAMES, pyramid
from ladder_hub.data.photometric import normalise
from ladder_hub.device import pick_device
from ladder_hub.errors import UserError

_ENDS = (0.02, 0.98)  # quantiles that become black and full: a single odd cell should not flatten the rest
_NOTHING = 1e-12


@dataclass(frozen=True)
class StageMaps:
    """One stage over all images of the page."""

    rgb: np.ndarray
    """uint8 (N, H, W, 3)."""
    share: float
    """Of the variance over all cells of all images, that the three components hold; 0 where there is none."""


def principal_maps(maps: Tensor) -> StageMaps:
    """The three principal components of a stage's cells as colours, the same for all images.

    Each component is spread over 0..255 between its 2 % and 98 % quantiles. Its sign is free; the largest
    coefficient of its direction is made positive, so that the same maps give the same colours.

    Args:
        maps: (N, C, H, W), C at least 3.
    """
    n, channels, height, width = maps.shape
    cells = maps.detach().permute(0, 2, 3, 1).reshape(-1, channels).double().cpu()
    cells = cells - cells.mean(0)
    _, singular, directions = torch.linalg.svd(cells, full_matrices=False)
    whole = singular.square().sum()
    if whole <= _NOTHING * len(cells):
        return StageMaps(np.full((n, height, width, 3), 128, np.uint8), 0.0)
    signs = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    rows = min(3, len(directions))
    parts = torch.zeros(len(cells), 3, dtype=cells.dtype)
    parts[:, :rows] = cells @ (directions * signs)[:rows].T
    low, high = torch.quantile(parts, torch.tensor(_ENDS, dtype=cells.dtype), dim=0)
    colours = (parts - low) / torch.where(high > low, high - low, 1)
    rgb = (255 * colours.clamp(0, 1)).round().byte().reshape(n, height, width, 3)
    return StageMaps(rgb.numpy(), float(singular[:3].square().sum() / whole))


@torch.inference_mode()
def maps_of(network: Network, images: Tensor, device: torch.device) -> dict[str, StageMaps]:
    """The maps of every stage.

    Args:
        network: Read in eval mode.
        images: uint8 (N, 3, S, S).
        device: Where it is computed.
    """
    backbone = network.backbone.eval().to(device)
    prepared = normalise(images.to(device), mean=network.mean, std=network.std)
    return {stage: principal_maps(found) for stage, found in pyramid(backbone, prepared).items()}


def maps(runs: Sequence[ReportedRun], chosen: Chosen, *, device: str) -> Element:
    """The section: a table a run, one row an image, one column a stage; and the first network before any training.

    Args:
        runs: Those without weights are named and left out.
        chosen: The images.
        device: Where it is computed.

    Raises:
        UserError: no run has left weights.
    """
    there = [run for run in runs if run.weights]
    if not there:
        raise UserError("no run has left weights yet")
    parts: list[Part] = []
    for run in there:
        parts.append(tag("div", tag("h3", named(run)), _table(run.name, run.weights, chosen, device)))
    if first := next((run for run in there if run.artifact), None):
        name = f"{first.recipe.model.backbone}, untrained"
        parts.append(tag("div", tag("h3", name), _table(name, f"random:{first.weights}", chosen, device)))
    notes = [note(f"{run.name} has left no weights yet.") for run in runs if not run.weights]
    return section("maps", "Maps of the pyramid", tag("p", _EXPLAINED), tag("div", *parts, class_="beside"), *notes)


_EXPLAINED = (
    "Each stage's cells, of all images of the page together, are projected on their three principal components, shown "
    "as red, green and blue: cells of one colour are alike to the network. Colours of different stages or runs have "
    "nothing to do with each other. A pixel is a cell."
)


def _table(name: str, model: str, chosen: Chosen, device: str) -> Element:
    (network,) = deque(networks(model), maxlen=1)
    images, keys = chosen.read(size=network.size, crop_pct=network.crop_pct)
    found = maps_of(network, images, pick_device(device))
    rows: list[list[Part]] = []
    for number, key in enumerate(keys):
        cells = (_map(found[stage], number, stage, key) for stage in STAGE_NAMES)
        rows.append(
            [short_key(key), tag("td", photograph(images[number].permute(1, 2, 0).numpy(), f"The image {key}")), *cells]
        )
    head: list[Part] = ["image", "input", *(_heading(stage, found[stage]) for stage in STAGE_NAMES)]
    held = ", ".join(f"{stage} {found[stage].share:.0%}" for stage in STAGE_NAMES)
    caption = f"{name}: the three components hold this share of the variance: {held} (n = {len(keys)} images)"
    return table(caption, head, rows, class_="maps")


def _heading(stage: str, found: StageMaps) -> Element:
    height, width = found.rgb.shape[1:3]
    return tag("span", stage, tag("br"), tag("small", f"{height} x {width} cells"))


def _map(found: StageMaps, number: int, stage: str, key: str) -> Element:
    told = f"three components, {found.share:.0%} of the variance" if found.share else "no variance"
    return tag("td", cells(found.rgb[number], f"{stage} of {key}: {told}"))
