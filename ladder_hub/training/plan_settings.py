"""The keys of `ladder-hub plan`: its own beside those of a recipe, and the machine that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field

from ladder_hub.device import pick_device, pick_precision
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.settings import Section, SettingError, apply_override, nearest, validated
from ladder_hub.training.devices import Device, check_probe, find_device


class PlanSettings(Section):
    """What `plan` takes beside the keys of a recipe."""

    devices: Annotated[int, Field(ge=1)] = 1
    """Devices that train together, a process each."""
    device: str = ""
    """a100, h100, h200, cpu, or measured: this machine's. Empty: a100 as in the paper, measured with `probe`."""
    probe: bool = False
    """Measure on this machine; device=measured does so too."""
    efficiency: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the device's peak to reckon with; None: as in `devices.py`."""


@dataclass(frozen=True)
class Machine:
    """What a run is planned for."""

    device: Device
    count: int
    here: torch.device
    """Where a probe computes."""
    probed: bool
    efficiency: float | None
    """As asked for."""


def settle(recipe: str, overrides: Sequence[str]) -> tuple[Recipe, Machine]:
    """The recipe, with the precision that the machine gives it, and the machine, out of one list of keys.

    Raises:
        UserError: an unknown key, recipe or device; a probe of what is not here.
    """
    settings, keys = _split(recipe, overrides)
    name = settings.device or ("measured" if settings.probe else "a100")
    here = pick_device({"cpu": "cpu", "measured": keys.device}.get(name, "auto"))
    device = find_device(name, here=here)
    probed = settings.probe or name == "measured"
    if settings.efficiency and (probed or not device.peak):
        raise UserError(
            "efficiency is a share of a data sheet's peak: give it with device=a100, h100 or h200, and no probe"
        )
    if probed:
        check_probe(name, here)
    # A GPU with a data sheet multiplies bf16; this machine is asked.
    known = device.peak and keys.precision == "auto" and not probed
    precision = "bf16" if known else pick_precision(keys.precision, here)
    machine = Machine(device, settings.devices, here, probed, settings.efficiency)
    return keys.model_copy(update={"precision": precision}), machine


def _split(recipe: str, overrides: Sequence[str]) -> tuple[PlanSettings, Recipe]:
    own: dict[str, Any] = {}
    rest = []
    known = [*PlanSettings.model_fields, *Recipe.model_fields]
    for override in overrides:
        key, separator, _ = override.partition("=")
        if key in PlanSettings.model_fields:
            apply_override(own, override, PlanSettings)
            continue
        if separator and key.isidentifier() and key not in known and (near := nearest(key, known)):
            raise SettingError(f"unknown key {key!r}{near}")
        rest.append(override)
    return validated(PlanSettings, own), load_recipe(recipe, rest)
