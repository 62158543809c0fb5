"""Where the run computes, and in which precision."""

import ctypes
import hashlib
import random
import sys

import numpy as np
import torch

from ladder_hub.errors import UserError


def pick_device(name: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU.

    Raises:
        UserError: the device is unknown or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"device={name} is not on this machine; try device=auto or device=cpu") from None
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """`auto` is bf16 where the hardware multiplies it, else float32 (emulated bf16 is some 20 times slower)."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def keep_freed_memory() -> None:
    """For the CPU: memory that a step frees stays with the process, for the next step.

    glibc gives large blocks back to the system, which then clears every page of every map anew: a tenth of a step and
    more. Elsewhere (musl, macOS) nothing is changed.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, -1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def seed_everything(seed: int, *place: int) -> None:
    """Seed every generator, of all devices: by `seed` alone, or by it and a place (step, rank).

    What a network draws in a step (dropout, stochastic depth) is so a function of the place, and a resumed run needs
    no saved states. The data has its own seeds.
    """
    if place:
        digest = hashlib.blake2b(repr((seed, *place)).encode(), digest_size=8)
        seed = int.from_bytes(digest.digest(), "little") >> 1
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
