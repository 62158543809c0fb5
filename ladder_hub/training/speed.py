"""How fast a run will be: measured here, or a share of a data sheet's peak."""

from dataclasses import dataclass

from ladder_hub.training.devices import Device
from ladder_hub.training.flops import Flops
from ladder_hub.training.probe import Probe


@dataclass(frozen=True)
class Speed:
    """Over all devices."""

    samples_per_second: float
    efficiency: float | None
    """Share of the peak that is reckoned with; None where the speed was measured."""
    peak: float | None
    """FLOP/s of one device by its data sheet."""
    probe: Probe | None
    """The measurement, of one device."""


def expected_speed(
    device: Device, flops: Flops, *, precision: str, devices: int, efficiency: float | None, measured: Probe | None
) -> tuple[Speed | None, list[str]]:
    """The speed, None where neither a data sheet nor a probe tells it; and what is assumed."""
    scaled = [f"{devices} devices are {devices} times as fast as one"] if devices > 1 else []
    if measured is not None:
        return Speed(measured.together * devices, None, None, measured), scaled
    if not device.peak:
        return None, [
            f"no data sheet gives the peak of a {device.name.partition(' ')[0]}: probe=true measures the speed"
        ]
    share, peak = efficiency or device.efficiency, device.peak[precision]
    source = "as given" if efficiency else "about half of what NVIDIA's own ResNet-50 reaches; efficiency=... sets it"
    assumed = f"{share:.0%} of {peak / 1e12:g} TFLOPS ({precision}), {source}"
    speed = Speed(share * peak / flops.total * devices, share, peak, None)
    return speed, [assumed, *scaled, "data comes as fast as it is asked for"]
