"""The monitors against float64 numpy and at their ends."""

import numpy as np
import pytest
import torch

from ladder_hub.training.monitors import moments, spread


@pytest.mark.parametrize("shape", [(40, 8), (6, 32), (4, 9, 8)])
def test_against_numpy(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    unit = x.double().numpy().reshape(-1, shape[-1])
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    singular = np.linalg.svd(unit, compute_uv=False)
    share = singular / singular.sum()
    found = spread(moments(x))
    assert found.std == pytest.approx(np.sqrt(unit.var(axis=0).mean()) * np.sqrt(shape[-1]), rel=1e-6)
    assert found.rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-5)


def test_ends() -> None:
    even = spread(moments(torch.randn(4096, 16, generator=torch.Generator().manual_seed(0))))
    assert even.std == pytest.approx(1, abs=0.01)
    assert even.rank == pytest.approx(16, abs=0.1)
    assert not even.collapsed
    constant = spread(moments(torch.ones(8, 16)))
    assert constant.std == pytest.approx(0, abs=1e-7)
    assert constant.rank == pytest.approx(1, abs=1e-6)
    assert constant.collapsed
    assert spread(moments(torch.zeros(8, 16))).collapsed


def test_a_line_is_a_collapse_too() -> None:
    """Vectors along one line, in both directions: spread out, and still one dimension."""
    sign = torch.tensor([1.0, -1.0]).repeat(8)[:, None]
    line = spread(moments(sign * torch.ones(16, 4)))
    assert line.std == pytest.approx(1)
    assert line.rank == pytest.approx(1, abs=1e-6)
    assert line.collapsed


def test_moments_of_parts_add_up() -> None:
    x = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    whole, parts = spread(moments(x)), spread(sum(moments(part) for part in x))
    assert parts.std == pytest.approx(whole.std)
    assert parts.rank == pytest.approx(whole.rank)
