"""Batches made ready: the same views whatever is in front of them."""

import torch

from ladder_hub.data.loader import Batch
from ladder_hub.training.inputs import to_device
from ladder_hub.training.prefetch import Prefetch

CPU = torch.device("cpu")


def some(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = [torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8, generator=generator) for _ in range(2)]
    return Batch((views[0], views[1]), (torch.zeros(3, 12), torch.zeros(3, 12)), torch.arange(3), [])


def test_every_batch_comes_once_and_in_order() -> None:
    batches = [some(seed) for seed in range(3)]
    ready = list(Prefetch(CPU, torch.float64)(batches))
    assert len(ready) == 3
    for found, batch in zip(ready, batches, strict=True):
        for view, expected in zip(found, to_device(batch, CPU, torch.float64), strict=True):
            assert view.dtype == torch.float64
            assert torch.equal(view, expected)


class _Stream:
    """What a CUDA stream is asked, written down."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def record_event(self) -> str:
        self.heard.append("event")
        return "done"

    def wait_event(self, event: str) -> None:
        self.heard.append(f"wait {event}")


def test_the_next_batch_is_started_before_this_one_is_used(monkeypatch) -> None:
    """The order of calls on a stream of its own, with a stream that only listens."""
    heard: list[str] = []
    prefetch = Prefetch(CPU, torch.float32)
    prefetch._stream = _Stream(heard)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: _Stream(heard))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: heard.append("kept"))
    for views in prefetch([some(0), some(1), some(2)]):
        heard.append(f"used {views[0].dtype}")
    ready = ["wait done", "kept", "kept", "used torch.float32"]
    assert heard == ["event", "event", *ready, "event", *ready, *ready]
