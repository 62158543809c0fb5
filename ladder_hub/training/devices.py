"""The devices that a run can be planned for: memory and peak by data sheet, and how much of the peak to expect."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ladder_hub.errors import UserError
from ladder_hub.settings import nearest


@dataclass(frozen=True)
class Device:
    """A kind of device."""

    name: str
    memory: float
    """Bytes."""
    peak: Mapping[str, float] = field(default_factory=dict)
    """FLOP/s by precision, dense; empty where no data sheet says: then only a probe gives a speed."""
    efficiency: float = 0.0
    """Share of the peak to expect from a ResNet."""
    shared: bool = False
    """Whether the processes of one machine share this memory."""


# bf16 and TF32 without sparsity, float64 on tensor cores; SXM modules. float32: torch's default lets cuDNN's
# convolutions, nearly all of a ResNet, use TF32.
#
# Efficiency: NVIDIA's own ResNet-50 (DeepLearningExamples, PyTorch, mixed precision) trains at 2,470 images/s on one
# A100 and at 16,621 on eight, which is 19 and 16 % of the peak at 24.5 GFLOPs an image; with TF32 938 and 7,248, 15 %.
# Half of what its eight reach, 8 %, is reckoned with: that code is tuned, and ours augments on the same device. (The
# paper's 60 hours are 3 %.) A ResNet waits for memory (BatchNorm, ReLU), so the newer ones are taken to be faster by
# their bandwidth (2.04, 3.35, 4.8 TB/s) and not by their peak.
_KNOWN = {
    "a100": Device("A100 80 GB", 80e9, {"bf16": 312e12, "float32": 156e12, "float64": 19.5e12}, 0.08),
    "h100": Device("H100 80 GB", 80e9, {"bf16": 989e12, "float32": 494e12, "float64": 67e12}, 0.04),
    "h200": Device("H200 141 GB", 141e9, {"bf16": 989e12, "float32": 494e12, "float64": 67e12}, 0.06),
}

_HERE = ("cpu", "measured")


def find_device(name: str, *, here: torch.device) -> Device:
    """The device `name`: a100, h100, h200; cpu (this machine's), or measured: `here`, whatever it is.

    Raises:
        UserError: no such device.
    """
    if name in _KNOWN:
        return _KNOWN[name]
    if name == "measured" and here.type == "cuda":
        facts = torch.cuda.get_device_properties(here)
        return Device(facts.name, float(facts.total_memory))
    if name in _HERE:
        return Device(f"CPU of this machine, {torch.get_num_threads()} threads", float(_memory_here()), shared=True)
    known = [*_KNOWN, *_HERE]
    raise UserError(f"device={name} is not one of {', '.join(known)}{nearest(name.lower(), known)}")


def check_probe(name: str, here: torch.device) -> None:
    """Refuse to measure a device that is not `here`, this machine's.

    Raises:
        UserError: so it is.
    """
    if name in _KNOWN:
        found = torch.cuda.get_device_name(here) if here.type == "cuda" else "no CUDA device"
        if name.upper() not in found:
            raise UserError(
                f"probe=true measures this machine, which has {found}: leave probe out for device={name}, "
                "or take device=measured"
            )
    elif name == "cpu" and here.type != "cpu":
        raise UserError("device=cpu: this machine computes on its GPU; take device=measured, or leave probe out")


def _memory_here() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
