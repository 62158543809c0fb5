"""How constant maps are: against numpy, and at the ends."""

import numpy as np
import pytest
import torch

from ladder_hub.analysis.spread_reading import CONSTANT, Reader, Reading, StageReader, StageReading
from ladder_hub.training.monitors import moments, spread


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(cells: torch.Tensor) -> Reading:
    reader = Reader()
    reader.add(cells)
    return reader.reading()


def verdict(maps: torch.Tensor) -> str:
    reader = StageReader()
    reader.add(maps)
    return reader.reading().verdict


def test_against_numpy() -> None:
    """Distances from the mean at the same place, and the singular values of what is left."""
    cells = draw(20, 6, 5) + 3 * draw(6, 5, seed=1)
    unit = cells.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=2, keepdims=True)
    rest = (unit - unit.mean(0)).reshape(-1, 5)
    singular = np.linalg.svd(rest, compute_uv=False)
    share = singular / singular.sum()
    found = read(cells)
    assert found.std == pytest.approx(np.sqrt((rest**2).sum(1).mean()), rel=1e-9)
    assert found.centred_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)
    assert found.directions == (singular > 0.01 * singular[0]).sum()
    assert found.constant == 0


def test_of_pooled_maps_it_is_what_the_monitors_say() -> None:
    x = draw(30, 8).relu()
    found, logged = read(x[:, None]), spread(moments(x))
    assert found.std == pytest.approx(logged.std)
    assert found.rank == pytest.approx(logged.rank)
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    cosine = (unit @ unit.T)[~torch.eye(30, dtype=torch.bool)].mean().item()
    assert found.std**2 == pytest.approx((1 - cosine) * 29 / 30)


def test_batches_add_up() -> None:
    x = draw(11, 4, 3)
    reader = Reader()
    for part in x.split(4):
        reader.add(part)
    both = reader.reading(), read(x)
    assert both[0].std == pytest.approx(both[1].std, rel=1e-12)
    assert both[0].centred_rank == pytest.approx(both[1].centred_rank, rel=1e-9)


def test_a_pattern_that_all_images_share_is_constant() -> None:
    """Padding makes the edge of a constant map differ from its middle."""
    found = read(draw(4, 6, seed=1).expand(10, 4, 6))
    assert found.std == pytest.approx(0, abs=1e-6)
    assert found.centred_rank == 1
    assert found.directions == 0
    assert found.constant == 1


def test_a_dead_map_is_constant() -> None:
    found = read(torch.zeros(5, 4, 3))
    assert (found.std, found.constant, found.centred_rank) == (0, 1, 1)
    assert verdict(torch.zeros(5, 3, 2, 2)) == "complete"


def test_the_rank_is_that_of_the_subspace() -> None:
    x = draw(500, 3) @ draw(3, 40, seed=1)
    assert 2.5 < read(x[:, None]).centred_rank <= 3 + 1e-6
    assert read(x[:, None]).directions == 3


def test_channels_that_do_not_vary_are_counted() -> None:
    x = draw(50, 1, 8) + 5
    x[:, :, :2] = 5
    x[:, :, 2] = 5 + 0.1 * CONSTANT * draw(50, 1)
    assert read(x).constant == pytest.approx(3 / 8)
    assert read(x).allowed == 5


def test_few_images_allow_few_dimensions() -> None:
    assert read(draw(4, 1, 100)).allowed == 3
    assert read(draw(4, 9, 100)).allowed == 27


@pytest.mark.parametrize(
    ("kind", "maps"),
    [
        ("none", draw(60, 64, 3, 3)),
        ("none", draw(60, 64, 3, 3) + 2),
        ("complete", 1 + 0.01 * draw(60, 64, 3, 3)),
        ("dimensional", torch.einsum("bkhw,kc->bchw", draw(60, 2, 3, 3), draw(2, 64, seed=1))),
        ("partial", torch.cat([draw(60, 40, 3, 3), torch.ones(60, 24, 3, 3)], 1)),
    ],
)  # fmt: skip
def test_the_kinds_are_told_apart(kind: str, maps: torch.Tensor) -> None:
    assert verdict(maps) == kind


def test_a_pooled_constant_whose_cells_differ_is_partial() -> None:
    maps = draw(60, 64, 8, 8)
    maps = maps - maps.mean((2, 3), keepdim=True) + 1
    reader = StageReader()
    reader.add(maps)
    found: StageReading = reader.reading()
    assert found.pooled.is_constant
    assert not found.cells.is_constant
    assert found.verdict == "partial"
