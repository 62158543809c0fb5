"""Batches of two views from a stream: this process reads bytes, its workers decode and cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ladder_hub.data.decode import Encoded
from ladder_hub.data.photometric import Policy
from ladder_hub.data.stream import Stored, StreamSource
from ladder_hub.data.views import Bad, Batch, Cut, ViewCutter
from ladder_hub.data.workers import BatchWorkers
from ladder_hub.errors import RunError


@dataclass(frozen=True)
class _Request:
    epoch: int
    image: Stored


@dataclass(frozen=True)
class _StreamMaker:
    cutter: ViewCutter
    spec: str

    def make(self, requests: list[_Request]) -> Batch:
        """A batch; where an image can't be decoded another one of the batch stands in, cut anew."""
        bad: Bad = []
        chance = self.cutter.chance(requests[0].epoch, [request.image.number for request in requests])
        cuts: list[tuple[Cut, int] | None] = []
        for numbers, request in zip(chance, requests, strict=True):
            try:
                cuts.append((self.cutter.cut(numbers, Encoded(request.image.data)), request.image.number))
            except ValueError as error:
                bad.append((request.image.key, str(error)))
                cuts.append(None)
        sound = [request.image for request, cut in zip(requests, cuts, strict=True) if cut]
        if not sound:
            (key, reason), *_ = bad
            raise RunError(f"none of {len(bad)} images in a row of {self.spec} can be decoded: {key}: {reason}")
        for place, numbers in enumerate(chance):
            if cuts[place] is None:
                other = sound[place % len(sound)]
                cuts[place] = (self.cutter.cut(numbers, Encoded(other.data)), other.number)
        return self.cutter.batch(chance, (cut for cut in cuts if cut), bad)


class StreamedViews:
    """Batches of two random views of each image of a stream; arguments as those of `TwoViews`.

    Which images a process sees, in which order and how they are cut does not depend on its workers.
    """

    def __init__(
        self,
        source: StreamSource,
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
        source.check_share(processes)
        self._source, self._seed = source, seed
        self._batch_size, self._rank, self._processes = batch_size, rank, processes
        maker = _StreamMaker(ViewCutter(size, crop_scale, crop_ratio, flip, policies, seed), source.spec)
        self._workers: BatchWorkers[Batch] = BatchWorkers(maker, workers=workers, pin=pin)

    def batches(self, epoch: int, *, samples: int, start: int = 0) -> Iterator[Batch]:
        """This process's part of the samples start..samples of an epoch, both counted over all processes.

        What lies before `start` is read again, and not decoded. With the number of processes that the epoch began
        with, this is exact; with another, each has other shards than before, of which it passes over its share.

        Raises:
            RunError: the shards hold less than was promised, or can't be read.
            DataError: a shard is refused.
        """
        first, last = start // self._processes, samples // self._processes
        return self._workers.run(_EpochPlan(self, epoch, first, last))

    def requests(self, epoch: int, first: int, last: int) -> Iterator[list[_Request]]:
        """What the workers are asked for."""
        images = self._source.read(seed=self._seed, epoch=epoch, rank=self._rank, processes=self._processes)
        try:
            seen = sum(1 for _ in islice(images, first))
            while seen < last:
                part = list(islice(images, min(self._batch_size, last - seen)))
                seen += len(part)
                if seen < last and len(part) < self._batch_size:
                    raise self._ran_dry(seen, last)
                yield [_Request(epoch, image) for image in part]
        finally:
            images.close()

    def _ran_dry(self, found: int, wanted: int) -> RunError:
        whole = found * self._processes
        return RunError(
            f"process {self._rank} of {self._processes} finds {found} images in its shards of {self._source.spec}, not "
            f"the {wanted} that are its share of data.samples = {self._source.samples}: try data.samples={whole}"
        )


@dataclass(frozen=True)
class _EpochPlan:
    views: StreamedViews
    epoch: int
    first: int
    last: int

    def __len__(self) -> int:
        return -(-(self.last - self.first) // self.views._batch_size)

    def __iter__(self) -> Iterator[list[_Request]]:
        return self.views.requests(self.epoch, self.first, self.last)
