"""Views made ready for the network while it is still busy with what came before."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ladder_hub.data.loader import Batch
from ladder_hub.training.inputs import to_device

Views = tuple[Tensor, Tensor]


class Prefetch:
    """Copies, augments and normalises batches; on a GPU on a stream of its own, one batch ahead.

    There the copy and the photometric part run beside the passes of earlier batches: those of the step before too,
    since the CPU runs ahead of the device. On a CPU batches are made ready as they are asked for.

    Args:
        device: where the network is.
        dtype: of the views, float32 or float64.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batches: Sequence[Batch]) -> Iterator[Views]:
        """Both views of each batch: (B, 3, S, S), as `to_device` gives them, ready on the current stream."""
        if self._stream is None:
            for batch in batches:
                yield to_device(batch, self._device, self._dtype)
            return
        coming = self._start(batches[0], self._stream)
        for following in batches[1:]:
            ready, coming = coming, self._start(following, self._stream)
            yield _await(*ready)
        yield _await(*coming)

    def _start(self, batch: Batch, stream: torch.cuda.Stream) -> tuple[Views, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            views = to_device(batch, self._device, self._dtype)
            return views, stream.record_event()


def _await(views: Views, done: torch.cuda.Event) -> Views:
    """The current stream goes on when `views` are there, and their memory is its own until it is through with them."""
    current = torch.cuda.current_stream(views[0].device)
    current.wait_event(done)
    for view in views:
        view.record_stream(current)
    return views
