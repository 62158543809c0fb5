"""`analyse collapse-demo`: the constant solution entered on purpose, and where it is found (Theorem 1, Sec. 3.4).

A global loss on one stage of a tiny network, on the embedded shapes. Every arm of `collapse_arms` starts from the same
weights and sees the same views; all stages are read as they go.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field
from rich.console import Console
from torch import Tensor

from ladder_hub.analysis.collapse_arms import ARMS, Training
from ladder_hub.analysis.collapse_demo_result import Arm, CollapseDemo
from ladder_hub.analysis.collapse_result import NetworkReading
from ladder_hub.analysis.spread_reading import StageReader
from ladder_hub.backbone import STAGE_NAMES, pyramid
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.photometric import normalise
from ladder_hub.data.sources import open_source
from ladder_hub.device import pick_device, seed_everything
from ladder_hub.progress import Display
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.settings import Section, settings_from
from ladder_hub.siamese.levels import Stage
from ladder_hub.training.inputs import to_device, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.monitors import moments, spread


class DemoSettings(Section):
    """What `analyse collapse-demo` takes."""

    stage: Stage = "res3"
    """Which stage carries the loss."""
    steps: Annotated[int, Field(ge=1, le=10**6)] = 40
    every: Annotated[int, Field(ge=1)] = 1
    """Steps between two readings of the stages."""
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 32
    image_size: Annotated[int, Field(ge=32, le=512)] = 64
    n: Annotated[int, Field(ge=2)] = 64
    """Images of a reading, other ones than are trained on."""
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 0.1
    """Of SGD with momentum 0.9."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: str = "auto"


def demonstrate_collapse(overrides: Sequence[str] = (), *, console: Console | None = None) -> CollapseDemo:
    """Train all arms and read every stage of each as they go.

    Args:
        overrides: `key=value` for the keys of `DemoSettings`: stage, steps, every, seed, ...
        console: where progress goes; None: standard error.

    Raises:
        UserError: an unknown key, or a value that its key can't have.
    """
    settings = settings_from(DemoSettings, overrides)
    device = pick_device(settings.device)
    images = _images(settings).to(device)
    with Display(console or Console(file=sys.stderr)) as display:
        arms = tuple(_arm(name, build, settings, images, display) for name, build in ARMS.items())
    return CollapseDemo(settings.stage, settings.seed, settings.n, arms)


def _arm(
    name: str, build: Callable[[Stage], Training], settings: DemoSettings, images: Tensor, display: Display
) -> Arm:
    seed_everything(settings.seed)
    training = build(settings.stage)
    training.modules.to(images.device)
    trained = [parameter for parameter in training.modules.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=settings.learning_rate, momentum=0.9)
    readings, compared, losses = [_read(0, training, images)], [], []
    task = display.task(name, settings.steps)
    for step, views in enumerate(_views(settings, images.device), start=1):
        loss, vectors = training.losses(*views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        training.follow()
        losses.append(loss.item())
        compared.append(spread(moments(vectors)).std)
        if step % settings.every == 0 or step == settings.steps:
            readings.append(_read(step, training, images))
        task.advance()
    task.close()
    return Arm(name, tuple(readings), tuple(losses), tuple(compared))


@torch.inference_mode()
def _read(step: int, training: Training, images: Tensor) -> NetworkReading:
    """In eval mode, as the network would be published; fixed norms stay in that mode afterwards, the others don't."""
    modes = [(module, module.training) for module in training.backbone.modules()]
    readers = {stage: StageReader() for stage in STAGE_NAMES}
    for stage, maps in pyramid(training.backbone.eval(), images).items():
        readers[stage].add(maps)
    for module, mode in modes:
        module.training = mode
    return NetworkReading(step, len(images), {stage: reader.reading() for stage, reader in readers.items()})


def _views(settings: DemoSettings, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The same for every arm; eight batches an epoch."""
    count = 8 * settings.batch_size
    recipe = load_recipe(
        "quickstart", [f"seed={settings.seed}", f"data.image_size={settings.image_size}", "data.workers=0"]
    )
    source, world = open_source(f"shapes:{count}", split="train"), World()
    views = two_views(recipe, source, Layout(1, settings.batch_size, 1, "ghost"), world)
    for step in range(settings.steps):
        if step % 8 == 0:
            batches = views.batches(step // 8, samples=count)
        yield to_device(next(batches), device)


def _images(settings: DemoSettings) -> Tensor:
    """float32 (n, 3, S, S)."""
    source = open_source(f"shapes:{settings.n}", split="val")
    batches = evaluation_batches(source, size=settings.image_size, crop_pct=1.0, batch_size=settings.n, workers=0)
    ((images, _, _),) = batches
    return normalise(images)
