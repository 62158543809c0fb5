"""Where and how the run computes."""

import pytest
import torch

from ladder_hub.device import autocast, pick_device, pick_precision, seed_everything
from ladder_hub.errors import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cpu:x", ""])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(UserError, match=f"device={name} is not on this machine; try device=auto or device=cpu"):
        pick_device(name)


def test_auto_is_something_that_computes() -> None:
    assert torch.ones(2, device=pick_device("auto")).sum().item() == 2


def test_precision() -> None:
    assert pick_precision("float32", CPU) == "float32"
    assert pick_precision("bf16", CPU) == "bf16"
    assert pick_precision("auto", CPU) in ("bf16", "float32")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "float32")])
def test_auto_precision_asks_the_hardware(native: bool, expected: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert pick_precision("auto", CPU) == expected


def test_autocast_is_bf16_or_nothing() -> None:
    x = torch.ones(2, 2)
    with autocast(CPU, "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast(CPU, "float32"):
        assert (x @ x).dtype == torch.float32


def test_seeds() -> None:
    seed_everything(2**40)
    first = torch.rand(3)
    seed_everything(2**40)
    assert torch.equal(first, torch.rand(3))
