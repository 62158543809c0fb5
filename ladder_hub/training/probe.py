"""What this machine really does: passes of the recipe's own learner over its own data, forward and backward."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat

import torch

from ladder_hub.data.loader import Batch
from ladder_hub.data.sources import Source, StreamSource, open_source
from ladder_hub.data.views import Views
from ladder_hub.device import autocast
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.inputs import to_device, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.state import build_learner

PASSES = 20
_WARM_UP = 3
_SECONDS = 60.0
_FEWEST = 3


@dataclass(frozen=True)
class Probe:
    """Images a second on one device of this machine."""

    passes: int
    compute: float
    """Of the median pass, without waiting for data; no optimiser step."""
    data: float | None
    """What the loader delivers alone; None without data of one's own, or with less than three micro-batches of it."""
    together: float
    """Passes fed by the loader, from the first to the last; `compute` without data of one's own."""


def probe(
    recipe: Recipe,
    source: Source | StreamSource | None,
    micro_batch: int,
    world: World,
    advance: Callable[[], None] = lambda: None,
) -> Probe:
    """Measure; the precision of `recipe` must be a resolved one.

    Args:
        recipe: what would be trained.
        source: its images; without, one batch of the embedded shapes is used again and again.
        micro_batch: images a pass.
        world: a world of one, with its device.
        advance: called `PASSES` times at most, once for each measured pass.
    """
    layout = Layout(processes=1, micro_batch=micro_batch, accumulation=1, batch_norm="ghost")
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    learner = build_learner(recipe).to(world.device, dtype).to(memory_format=torch.channels_last).train()
    images = source if source is not None and len(source) >= micro_batch else None
    if images is None:
        stand_in = open_source(f"shapes:{micro_batch}", split="train")
        batch = next(two_views(recipe, stand_in, layout, world).batches(0, samples=micro_batch))
        seconds, _ = _timed(learner, repeat(batch), recipe.precision, world.device, dtype, advance)
        speed = micro_batch / statistics.median(seconds)
        return Probe(len(seconds), speed, None, speed)
    loader = two_views(recipe, images, layout, world)
    alone = _loader_alone(loader, min(PASSES, len(images) // micro_batch), micro_batch)
    seconds, whole = _timed(
        learner, _endless(loader, images, micro_batch), recipe.precision, world.device, dtype, advance
    )
    return Probe(len(seconds), micro_batch / statistics.median(seconds), alone, micro_batch * len(seconds) / whole)


def _endless(loader: Views, source: Source | StreamSource, micro_batch: int) -> Iterator[Batch]:
    samples = len(source) // micro_batch * micro_batch
    epoch = 0
    while True:
        yield from loader.batches(epoch, samples=samples)
        epoch += 1


def _loader_alone(loader: Views, batches: int, micro_batch: int) -> float | None:
    """Images a second over what comes after the first batch, for which the processes had to start."""
    begun, count, now = 0.0, 0, 0.0
    for _ in loader.batches(0, samples=batches * micro_batch):
        now = time.perf_counter()
        begun = begun or now
        count += 1
    return micro_batch * (count - 1) / (now - begun) if count > 2 else None


def _timed(
    learner: Learner,
    batches: Iterator[Batch],
    precision: str,
    device: torch.device,
    dtype: torch.dtype,
    advance: Callable[[], None],
) -> tuple[list[float], float]:
    """Seconds of each pass, and of all with what lay between them; fewer passes where they take long."""
    seconds: list[float] = []
    warm, begun = 0, time.perf_counter()
    while len(seconds) < PASSES and (len(seconds) < _FEWEST or time.perf_counter() - begun < _SECONDS):
        batch = next(batches)
        start = time.perf_counter()
        _pass(learner, batch, precision, device, dtype)
        took = time.perf_counter() - start
        if warm < _WARM_UP:
            # One slow pass is warm-up enough: what a first pass costs beside is seconds.
            warm = _WARM_UP if took > _SECONDS / 10 else warm + 1
            begun = time.perf_counter()
            continue
        seconds.append(took)
        advance()
    return seconds, time.perf_counter() - begun


def _pass(learner: Learner, batch: Batch, precision: str, device: torch.device, dtype: torch.dtype) -> None:
    with autocast(device, precision):
        output = learner(*to_device(batch, device, dtype))
    learner.total(output.losses).backward()
    learner.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
