"""Energy of a run: what the driver's counters say, added up, and nothing where one says nothing."""

import sys
from types import SimpleNamespace

import pynvml
import pytest
import torch

from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.energy import EnergyMeter, counter

CPU = torch.device("cpu")


@pytest.fixture
def driver(monkeypatch):
    """A GPU whose counter, in millijoules, is what `driver.millijoules` says."""
    facts = SimpleNamespace(millijoules=5_000)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234-ab"))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda name: {"GPU-1234-ab": "the one"}[name])
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: {"the one": facts.millijoules}[handle]
    )
    return facts


def test_a_gpu_is_asked_by_its_uuid(driver):
    assert counter(torch.device("cuda", 3)) == 5.0
    assert counter(CPU) is None


def test_a_device_that_does_not_say_is_no_error(driver, monkeypatch):
    def refuse(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    assert counter(torch.device("cuda", 0)) is None


def test_without_its_library_nothing_is_known(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counter(torch.device("cuda", 0)) is None


def test_what_was_used_since_the_last_time_is_added(driver):
    meter = EnergyMeter(torch.device("cuda", 0), 100.0)
    for now in (5_500, 9_000):
        driver.millijoules = now
        meter.settle(World())
    assert meter.joules == 104.0


@pytest.mark.parametrize(("before", "device"), [(None, torch.device("cuda", 0)), (100.0, CPU)])
def test_of_a_part_that_is_not_known_there_is_no_sum(driver, before, device):
    meter = EnergyMeter(device, before)
    meter.settle(World())
    assert meter.joules is None


def test_all_processes_count(driver):
    world = World()
    world.gather = lambda value: [value, 7.0]
    meter = EnergyMeter(torch.device("cuda", 0), 0.0)
    driver.millijoules = 6_000
    meter.settle(world)
    assert meter.joules == 8.0
