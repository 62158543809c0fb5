"""Which samples a step takes: a function of (seed, step, process), so that nothing need be saved to go on."""

from collections.abc import Iterator

import numpy as np

from ladder_hub.data.chance import order


class StepPlan:
    """[(epoch, index), ...] of one process for each of the steps start..stop - 1.

    Step k takes the places k * batch_size .. (k + 1) * batch_size - 1 of an endless row: all samples in the order
    of epoch 0, then all in that of epoch 1, and so on. Each process takes its slice of every step.

    Args:
        count: Samples.
        batch_size: Samples a step, over all processes; a multiple of `processes`.
        start: First step.
        stop: The step after the last.
        seed: Decides the order.
        rank: Which process this is.
        processes: How many there are.
    """

    def __init__(
        self, count: int, batch_size: int, start: int, stop: int, *, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        assert batch_size % processes == 0
        self._count, self._batch, self._steps = count, batch_size, range(start, stop)
        self._seed, self._share, self._rank = seed, batch_size // processes, rank

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        orders: dict[int, np.ndarray] = {}
        for step in self._steps:
            first = step * self._batch + self._rank * self._share
            places = [divmod(place, self._count) for place in range(first, first + self._share)]
            needed = sorted({epoch for epoch, _ in places})
            orders = {e: orders[e] if e in orders else order(self._count, seed=self._seed, epoch=e) for e in needed}
            yield [(epoch, int(orders[epoch][at])) for epoch, at in places]
