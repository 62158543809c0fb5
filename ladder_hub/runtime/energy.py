"""What the accelerators of a run use, by the counters of their drivers."""

import torch

from ladder_hub.runtime.distributed import World


class EnergyMeter:
    """Adds up the energy of all processes' devices, over all parts of a run.

    Args:
        device: this process's.
        before: joules of the run's earlier parts; None: not known of one.
    """

    def __init__(self, device: torch.device, before: float | None) -> None:
        self.joules = before
        """Up to the last `settle`; None where a device does not report it."""
        self._device, self._last = device, counter(device)

    def settle(self, world: World) -> None:
        """Add what was used since the last time; every process calls it."""
        now = counter(self._device)
        spent = None if now is None or self._last is None else now - self._last
        self._last = now
        parts = [self.joules, *world.gather(spent)]
        known = [part for part in parts if part is not None]
        self.joules = sum(known) if len(known) == len(parts) else None


def counter(device: torch.device) -> float | None:
    """Joules that a GPU has used since its driver was loaded.

    None where nothing says so: a CPU, a part of a GPU (MIG), AMD's, one before Volta.
    """
    if device.type != "cuda" or torch.version.hip:
        return None
    try:
        import pynvml
    except ImportError:  # a source tree on the path of a machine that lacks it: no reason to end a run
        return None
    try:
        pynvml.nvmlInit()
        # By its UUID: CUDA_VISIBLE_DEVICES renumbers devices for CUDA alone.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    except pynvml.NVMLError:
        return None
