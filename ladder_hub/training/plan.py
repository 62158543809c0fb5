"""`ladder-hub plan`: what a run is and costs, before it is spent. Plain numbers; `plan_text.py` prints them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from ladder_hub.data.sources import Source
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.devices import Device
from ladder_hub.training.flops import Flops, count_flops
from ladder_hub.training.layout import Layout, lay_out
from ladder_hub.training.length import Length, known_images, length
from ladder_hub.training.memory import Activations, Fit, Memory, fit, follow_activations
from ladder_hub.training.paper import Nearest, nearest_setting
from ladder_hub.training.parameters import Count, count_parameters
from ladder_hub.training.plan_settings import Machine, settle
from ladder_hub.training.probe import PASSES, Probe, probe
from ladder_hub.training.skeleton import shapes_of
from ladder_hub.training.speed import Speed, expected_speed


@dataclass(frozen=True)
class Plan:
    """Everything that can be known of a run before it starts. In bytes, FLOPs, images."""

    recipe: Recipe
    """With the precision that the device gives it."""
    device: Device
    parameters: dict[str, Count]
    flops: Flops
    """An image."""
    memory: Memory
    """Of one device."""
    fit: Fit
    layout: Layout
    length: Length
    speed: Speed | None
    """None where nothing is known."""
    checkpoint: float
    """Bytes of one on disk."""
    paper: Nearest
    assumptions: tuple[str, ...]

    @property
    def hours(self) -> float | None:
        """Of training alone: kNN, checkpoints and the start are not in it."""
        images = self.length.steps * self.layout.batch_size
        return images / self.speed.samples_per_second / 3600 if self.speed else None

    @property
    def device_hours(self) -> float | None:
        """Hours times devices."""
        return None if self.hours is None else self.hours * self.layout.processes

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON, with the sums."""
        facts = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        facts["parameters"] = {name: _plain(count) for name, count in self.parameters.items()}
        for part in ("forward", "target", "backward", "total"):
            facts["flops"][part] = getattr(self.flops, part)
        facts["memory"]["total"] = self.memory.total
        facts["fit"]["fits"] = self.fit.fits
        facts["layout"].update(batch_size=self.layout.batch_size, statistics_of=self.layout.statistics_of)
        return {
            **facts,
            "learning_rate": self.recipe.learning_rate,
            "hours": self.hours,
            "device_hours": self.device_hours,
        }


def plan(recipe: str, overrides: Sequence[str] = (), *, console: Console | None = None) -> Plan:
    """Plan a run. Nothing is written but the cached listing of the images, which `train` will need too.

    Args:
        recipe: a shipped recipe's name or the path of a TOML file.
        overrides: `key=value` of the recipe, and of `PlanSettings`: devices, device, probe, efficiency.
        console: where progress goes; None: standard error.

    Raises:
        UserError: an unknown key or device, a batch that the devices can't share, fewer images than a batch, or a
            probe of what is not here or doesn't fit.
    """
    keys, machine = settle(recipe, overrides)
    layout = lay_out(
        batch_size=keys.batch_size,
        micro_batch=keys.micro_batch,
        batch_norm=keys.batch_norm,
        processes=machine.count,
    )
    with Display(console or Console(stderr=True)) as display:
        source, assumed = known_images(keys)
        steps = length(keys, None if source is None else len(source))
        learner, flops, activations = _simulated(keys, layout, display)
        memory = Memory.of(learner, activations, micro_batch=layout.micro_batch, precision=keys.precision)
        fits = fit(memory, activations, device=machine.device, layout=layout)
        measured = _measured(keys, source, layout, machine, fits, display) if machine.probed else None
    speed, more = expected_speed(
        machine.device,
        flops,
        precision=keys.precision,
        devices=machine.count,
        efficiency=machine.efficiency,
        measured=measured,
    )
    return Plan(
        recipe=keys,
        device=machine.device,
        parameters=count_parameters(learner),
        flops=flops,
        memory=memory,
        fit=fits,
        layout=layout,
        length=steps,
        speed=speed,
        checkpoint=memory.weights + memory.target + memory.momentum,
        paper=nearest_setting(keys, images=None if source is None else len(source)),
        assumptions=tuple(line for line in (assumed, *more) if line),
    )


def _simulated(keys: Recipe, layout: Layout, display: Display) -> tuple[Learner, Flops, Activations]:
    """The learner of the recipe without numbers, and what a pass of it costs."""
    size, heads = keys.data.image_size, keys.heads
    display.say(f"counting FLOPs and memory of {keys.model.backbone} at {size} pixels, which takes seconds")
    learner = shapes_of(keys.model.backbone, keys.ladder, hidden=heads.hidden, out=heads.out, grid=heads.grid)
    flops = count_flops(learner, size=size)
    activations = follow_activations(learner, size=size, micro_batch=layout.micro_batch, precision=keys.precision)
    return learner, flops, activations


def _measured(
    keys: Recipe, source: Source | None, layout: Layout, machine: Machine, fits: Fit, display: Display
) -> Probe:
    if not fits.fits:
        advice = f"try micro_batch={fits.largest_micro_batch}" if fits.largest_micro_batch else "no micro_batch does"
        raise UserError(
            f"a pass of {layout.micro_batch} images takes {fits.needed / 1e9:.1f} GB and {machine.device.name} gives "
            f"{fits.available / 1e9:.1f}: {advice}"
        )
    display.say(f"probe: {PASSES} passes of {layout.micro_batch} images on {machine.here}")
    world = World()
    world.device = machine.here
    task = display.task("probe", PASSES)
    # A model to start from changes no speed, and may have to be downloaded.
    begun = keys.model_copy(update={"init": ""})
    found = probe(begun, source, layout.micro_batch, world, task.advance, display.say)
    task.close()
    return found


def _plain(value: Any) -> Any:
    """What JSON takes."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
