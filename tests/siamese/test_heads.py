"""Shapes and statistics of projectors and predictors."""

import pytest
import torch
from torch import nn

from ladder_hub.siamese.heads import DenseProjector, GlobalProjector, Predictor, build_projector


def test_shapes() -> None:
    features = torch.randn(2, 8, 5, 9)
    assert GlobalProjector(8, hidden=16, out=4)(features).shape == (2, 4)
    assert DenseProjector(8, hidden=16, out=4, grid=7)(features).shape == (2, 5 * 7, 4)
    predictor = Predictor(4, hidden=16)
    assert predictor(torch.randn(2, 4)).shape == (2, 4)
    assert predictor(torch.randn(2, 35, 4)).shape == (2, 35, 4)


@pytest.mark.parametrize(("kind", "linear"), [("global", nn.Linear), ("dense", nn.Conv2d)])
def test_layers_are_byols(kind: str, linear: type) -> None:
    head = build_projector(kind, 8, hidden=16, out=4, grid=7)
    layers = [layer for layer in head.modules() if isinstance(layer, linear)]
    norms = [layer for layer in head.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [layer.bias is not None for layer in layers] == [True, False]
    assert [norm.num_features for norm in norms] == [16]


def test_a_dense_head_is_the_global_one_on_every_cell() -> None:
    dense = DenseProjector(8, hidden=16, out=4, grid=7).eval()
    plain = GlobalProjector(8, hidden=16, out=4).eval()
    names = {"layers.0": "2", "layers.1": "3", "layers.3": "5"}
    state = {}
    for name, value in dense.state_dict().items():
        ours = next(new + name.removeprefix(old) for old, new in names.items() if name.startswith(old))
        state[ours] = value.flatten(1) if value.ndim == 4 else value
    plain.load_state_dict(state)
    features = torch.randn(2, 8, 3, 5)
    for row in range(3):
        for column in range(5):
            cell = features[:, :, row : row + 1, column : column + 1]
            torch.testing.assert_close(dense(features)[:, row * 5 + column], plain(cell))
