"""From a source to batches of two views; every batch is a pure function of (seed, epoch, place)."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ladder_hub.data.bad import BadLedger, picture_or_stand_in
from ladder_hub.data.chance import order
from ladder_hub.data.crops import evaluation_crop
from ladder_hub.data.image_source import BadImage, Source
from ladder_hub.data.photometric import Policy
from ladder_hub.data.views import Bad, Batch, Cut, ViewCutter
from ladder_hub.data.workers import BatchWorkers

__all__ = ["BadLedger", "Batch", "TwoViews", "evaluation_batches", "order"]


@dataclass(frozen=True)
class _ViewMaker:
    source: Source
    cutter: ViewCutter

    def make(self, requests: list[tuple[int, int]]) -> Batch:
        """A batch for [(epoch, index), ...], all of one epoch."""
        bad: Bad = []
        indices = [index for _, index in requests]
        chance = self.cutter.chance(requests[0][0], indices)
        return self.cutter.batch(chance, self._cuts(indices, chance, bad), bad)

    def _cuts(self, indices: list[int], chance: np.ndarray, bad: Bad) -> Iterator[tuple[Cut, int]]:
        for index, numbers in zip(indices, chance, strict=True):
            cut = functools.partial(self.cutter.cut, numbers)
            made, used, passed = picture_or_stand_in(self.source, index, cut)
            bad += passed
            yield made, used


class TwoViews:
    """Batches of two random views of each image.

    Args:
        source: Where the images come from.
        size: Side of a view in pixels.
        crop_scale: Lowest and highest share of the image's area.
        crop_ratio: Lowest and highest width / height.
        flip: Probability of mirroring left and right.
        policies: Photometric probabilities and strengths of view 1 and view 2.
        seed: With epoch, index and view it decides everything random.
        batch_size: Images a batch.
        workers: Loader threads, kept from epoch to epoch; 0 works in this one; -1 is one a core, at most 8.
        pin: Deliver the views in page-locked memory (for a CUDA device).
        rank: Which of the training processes this is.
        processes: How many there are. An epoch's order is cut into passes of processes * batch_size images, and
            each takes its slice of every pass: 1 x 32, 2 x 16 and 4 x 8 see the same images in the same pass.
    """

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        crop_scale: tuple[float, float],
        crop_ratio: tuple[float, float],
        flip: float,
        policies: tuple[Policy, Policy],
        seed: int,
        batch_size: int,
        workers: int,
        pin: bool = False,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        assert 0 <= rank < processes
        self._count = len(source)
        self._seed = seed
        self._part = (batch_size, rank, processes)
        maker = _ViewMaker(source, ViewCutter(size, crop_scale, crop_ratio, flip, policies, seed))
        self._workers: BatchWorkers[Batch] = BatchWorkers(maker, workers=workers, pin=pin)

    def batches(self, epoch: int, *, samples: int, start: int = 0) -> Iterator[Batch]:
        """This process's part of the samples start..samples of an epoch's order.

        Both count images over all processes, in multiples of processes * batch_size; one process alone may end
        with a smaller batch.

        Raises:
            RunError: sixteen images tried for one place can't be decoded.
        """
        assert 0 <= start <= samples <= self._count
        return self._workers.run(_EpochPlan(epoch, self._count, self._seed, start, samples, *self._part))


class _EpochPlan:
    """[(epoch, index), ...] for each batch of one process; held as one array."""

    def __init__(
        self, epoch: int, count: int, seed: int, start: int, samples: int, batch_size: int, rank: int, processes: int
    ) -> None:
        whole = processes * batch_size
        assert processes == 1 or not (start % whole or samples % whole)
        self._epoch = epoch
        chosen = order(count, seed=seed, epoch=epoch)[start:samples]
        own = chosen if processes == 1 else chosen.reshape(-1, processes, batch_size)[:, rank].ravel()
        self._indices = _Parts(own, batch_size)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return ([(self._epoch, index) for index in part] for part in self._indices)


class _Parts:
    """Lists of `size` neighbours, the last perhaps of fewer, made while they are iterated."""

    def __init__(self, items: np.ndarray, size: int) -> None:
        self._items = items
        self._size = size

    def __len__(self) -> int:
        return -(-len(self._items) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        return (self._items[at : at + self._size].tolist() for at in range(0, len(self._items), self._size))


@dataclass(frozen=True)
class _CentreMaker:
    source: Source
    size: int
    crop_pct: float

    def make(self, requests: list[int]) -> tuple[torch.Tensor, torch.Tensor | None, Bad]:
        """uint8 images, labels and bad ones for a list of indices."""
        images, kept, bad = [torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)], [], []
        for index in requests:
            try:
                image = self.source.image(index)
            except BadImage as error:
                bad.append((error.key, error.reason))
                continue
            images.append(evaluation_crop(image, self.size, self.crop_pct).unsqueeze(0))
            kept.append(index)
        labels = self.source.labels
        return torch.cat(images), None if labels is None else torch.from_numpy(labels[kept]), bad


def evaluation_batches(
    source: Source,
    *,
    indices: Sequence[int] | np.ndarray | None = None,
    size: int,
    crop_pct: float,
    batch_size: int,
    workers: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, Bad]]:
    """Centre crops in order, for kNN and probes; `photometric.normalise` prepares them on the device.

    Args:
        source: Where the images come from.
        indices: Which of them; all where None.
        size: Side in pixels.
        crop_pct: Share of the shorter side that the centre takes.
        batch_size: Images a batch.
        workers: Loader threads; -1 is one a core, at most 8.

    Returns:
        Iterator of uint8 (b, 3, S, S), int64 (b,) labels or None, and (key, reason) of images left out as undecodable.
    """
    chosen = np.arange(len(source)) if indices is None else np.asarray(indices, dtype=np.int64)
    maker = _CentreMaker(source, size, crop_pct)
    loader: BatchWorkers[tuple[torch.Tensor, torch.Tensor | None, Bad]] = BatchWorkers(maker, workers=workers)
    return loader.run(_Parts(chosen, batch_size))
