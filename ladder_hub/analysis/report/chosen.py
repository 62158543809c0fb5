"""The images that the page shows: a few of the source, the same for every run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ladder_hub.analysis.images import open_images
from ladder_hub.analysis.report.runs import ReportedRun
from ladder_hub.analysis.report.settings import ReportSettings
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.sources import Source
from ladder_hub.errors import UserError


@dataclass(frozen=True)
class Chosen:
    """Images of a source, by their numbers."""

    source: Source
    indices: np.ndarray
    """int64 (N,), rising."""

    def read(self, *, size: int, crop_pct: float) -> tuple[Tensor, list[str]]:
        """Centre crops, uint8 (N, 3, size, size), and the images' keys; undecodable ones are left out.

        Raises:
            UserError: none could be decoded.
        """
        left_out: set[str] = set()
        parts = []
        for images, _, bad in evaluation_batches(
            self.source, indices=self.indices, size=size, crop_pct=crop_pct, batch_size=len(self.indices), workers=0
        ):
            parts.append(images)
            left_out |= {key for key, _ in bad}
        keys = [key for key in (self.source.key(int(index)) for index in self.indices) if key not in left_out]
        if not keys:
            raise UserError(f"{self.source.spec}: none of the {len(self.indices)} chosen images could be decoded")
        return torch.cat(parts), keys


def short_key(key: str) -> str:
    """The end of an image's key: its file's name."""
    return re.split("[/:]", key)[-1] or key


def choose(settings: ReportSettings, runs: Sequence[ReportedRun]) -> Chosen | str:
    """Images as asked for, else those that a run names; where these are not at hand, why, in one line.

    Raises:
        UserError: `data.images` was asked for and can't be opened.
    """
    try:
        source = open_images(settings.data, (run.recipe for run in runs))
    except UserError as error:
        if settings.data.images:
            raise
        return f"{error}; data.images=IMAGES names images for this section."
    count = min(settings.maps, len(source))
    indices = np.sort(np.random.default_rng(settings.seed).choice(len(source), count, replace=False))
    return Chosen(source, indices.astype(np.int64))
