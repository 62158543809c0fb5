"""What this machine really does: passes of the recipe's own learner over its own data, forward and backward."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import torch

from ladder_hub.data.loader import Batch
from ladder_hub.data.sources import Source, StreamSource, open_source
from ladder_hub.data.views import Views
from ladder_hub.device import keep_freed_memory
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.inputs import to_device, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.passes import compile_networks, forward_backward, uncompiled
from ladder_hub.training.state import build_learner

PASSES = 20
_WARM_UP = 3
_SECONDS = 60.0
_FEWEST = 3


@dataclass(frozen=True)
class Compiling:
    """What `compile=true` comes to on this machine."""

    seconds: float
    """That it took."""
    gain: float
    """How many times as fast a pass is as without, both by turns; below 1 it is slower."""


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
    compiling: Compiling | None = None
    """None where the recipe doesn't compile, or where that failed: then the network ran as it is, as in a run."""


def probe(
    recipe: Recipe,
    source: Source | StreamSource | None,
    micro_batch: int,
    world: World,
    advance: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _: None,
) -> Probe:
    """Measure; the precision of `recipe` must be a resolved one.

    Args:
        recipe: what would be trained, compiled where it says so.
        source: its images; without, one batch of the embedded shapes is used again and again.
        micro_batch: images a pass.
        world: a world of one, with its device.
        advance: called `PASSES` times at most, once for each measured pass.
        say: told what compiling comes to.
    """
    layout = Layout(processes=1, micro_batch=micro_batch, accumulation=1, batch_norm="ghost")
    run = _Passes(recipe, world.device)
    images = source if source is not None and len(source) >= micro_batch else None
    loader = two_views(recipe, images or open_source(f"shapes:{micro_batch}", split="train"), layout, world)
    one = loader.batches(0, samples=micro_batch)
    compiling = run.compile(next(one), say) if recipe.compile else None
    if images is None:
        batch = next(loader.batches(0, samples=micro_batch))
        seconds, _ = run.timed(repeat(batch), advance)
        speed = micro_batch / statistics.median(seconds)
        return Probe(len(seconds), speed, None, speed, compiling)
    alone = _loader_alone(loader, min(PASSES, len(images) // micro_batch), micro_batch)
    seconds, whole = run.timed(_endless(loader, images, micro_batch), advance)
    speed = micro_batch / statistics.median(seconds)
    return Probe(len(seconds), speed, alone, micro_batch * len(seconds) / whole, compiling)


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


class _Passes:
    """Passes of a recipe's learner as a run makes them."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self._recipe, self._device = recipe, device
        self._dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        learner = build_learner(recipe).to(device, self._dtype)
        self._learner: Learner = learner.to(memory_format=torch.channels_last).train()

    def compile(self, batch: Batch, say: Callable[[str], None]) -> Compiling | None:
        """Compile, and hold passes against those without, by turns; None where it failed."""
        begun = time.perf_counter()
        if not compile_networks(self._learner, partial(self._run, batch), say):
            return None
        took = time.perf_counter() - begun
        compiled: list[float] = []
        plain: list[float] = []
        while len(plain) <= _FEWEST or (len(plain) < PASSES and sum(compiled) + sum(plain) < _SECONDS):
            compiled.append(self._seconds(batch))
            with uncompiled(self._learner):
                plain.append(self._seconds(batch))
        # The first ones warm up.
        return Compiling(took, statistics.median(plain[1:]) / statistics.median(compiled[1:]))

    def timed(self, batches: Iterator[Batch], advance: Callable[[], None]) -> tuple[list[float], float]:
        """Seconds of each pass, and of all with what lay between them; fewer passes where they take long."""
        seconds: list[float] = []
        warm, begun = 0, time.perf_counter()
        while len(seconds) < PASSES and (len(seconds) < _FEWEST or time.perf_counter() - begun < _SECONDS):
            took = self._seconds(next(batches))
            if warm < _WARM_UP:
                # One slow pass is warm-up enough: what a first pass costs beside is seconds.
                warm = _WARM_UP if took > _SECONDS / 10 else warm + 1
                begun = time.perf_counter()
                continue
            seconds.append(took)
            advance()
        return seconds, time.perf_counter() - begun

    def _seconds(self, batch: Batch) -> float:
        start = time.perf_counter()
        self._run(batch)
        return time.perf_counter() - start

    def _run(self, batch: Batch) -> None:
        views = to_device(batch, self._device, self._dtype)
        forward_backward(self._learner, self._learner, views, self._recipe)
        self._learner.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
