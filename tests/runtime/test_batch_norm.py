"""BatchNorm over processes that hold different numbers of values: the formula of the whole batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from processes import Processes, torchrun_variables
from torch import Tensor, nn

from ladder_hub.runtime.batch_norm import synchronised
from ladder_hub.runtime.distributed import open_world

PARTS = {"different": (5, 2), "one empty": (6, 0), "all empty": (0, 0)}


def whole(rows: int) -> Tensor:
    return torch.randn(rows, 3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def norm() -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    return layer


def passed(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Output, the input's gradient, the statistics."""
    x = x.clone().requires_grad_()
    out = layer(x)
    (out * out.detach().cos()).sum().backward()
    return out.detach(), x.grad, [layer.running_mean, layer.running_var]


def own_part(parts: tuple[int, int]) -> list[np.ndarray]:
    with open_world(timeout=60) as world:
        own = whole(sum(parts)).split(list(parts))[world.rank]
        out, gradient, statistics = passed(synchronised(nn.Sequential(norm()), world.device)[0], own)
        return [value.numpy() for value in (out, gradient, *statistics)]


@pytest.mark.parametrize("name", PARTS)
def test_shares_of_any_size_give_the_numbers_of_the_whole(name: str, tmp_path: Path) -> None:
    parts = PARTS[name]
    found = Processes(own_part, parts, variables=torchrun_variables(2), folder=tmp_path)
    first, second = found.results()
    assert found.statuses == [0, 0], found.said
    out, gradient, statistics = passed(norm(), whole(sum(parts)))
    for number, expected in enumerate((out, gradient)):
        np.testing.assert_allclose(np.concatenate([first[number], second[number]]), expected, atol=1e-12)
    for number, expected in enumerate(statistics, start=2):
        np.testing.assert_allclose(first[number], expected, atol=1e-12)
        np.testing.assert_array_equal(first[number], second[number])
