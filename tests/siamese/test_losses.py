"""Each loss against a transcription of its formula in float64 numpy, gradients by finite differences included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from ladder_hub.siamese.losses import correspondence, dense_loss, global_loss


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def _global(prediction: np.ndarray, target: np.ndarray) -> float:
    """Eq. 3, image by image."""
    return float(np.mean([((_unit(q) - _unit(t)) ** 2).sum() for q, t in zip(prediction, target, strict=True)]))


def _dense(prediction: np.ndarray, projection: np.ndarray, target: np.ndarray) -> float:
    """Eq. 7, image by image and cell by cell."""
    terms = []
    for q, y, t in zip(prediction, projection, target, strict=True):
        for cell in range(len(y)):
            cosine = [float(_unit(y[cell]) @ _unit(other)) for other in t]
            terms.append(((_unit(q[cell]) - _unit(t[int(np.argmax(cosine))])) ** 2).sum())
    return float(np.mean(terms))


def _finite_difference(function, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (function(ahead) - function(behind)) / (2 * step)
    return gradient


@pytest.mark.parametrize("seed", range(3))
def test_global_loss_and_its_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, 5, 7))
    tensor = torch.tensor(prediction, requires_grad=True)
    loss = global_loss(tensor, torch.tensor(target))
    loss.backward()
    assert loss.item() == pytest.approx(_global(prediction, target), abs=1e-6)
    np.testing.assert_allclose(tensor.grad, _finite_difference(lambda x: _global(x, target), prediction), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_dense_loss_and_its_gradient(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, projection = rng.normal(size=(2, 3, 6, 5))
    target = rng.normal(size=(3, 4, 5))  # another number of cells than the online map
    tensor = torch.tensor(prediction, requires_grad=True)
    matching = torch.tensor(projection, requires_grad=True)
    loss = dense_loss(tensor, matching, torch.tensor(target))
    loss.backward()
    assert loss.item() == pytest.approx(_dense(prediction, projection, target), abs=1e-6)
    expected = _finite_difference(lambda x: _dense(x, projection, target), prediction)
    np.testing.assert_allclose(tensor.grad, expected, atol=1e-6)
    assert matching.grad is None  # the choice of a cell has no gradient


def test_range_and_ends() -> None:
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    assert global_loss(x, x).item() == pytest.approx(0, abs=1e-6)
    assert global_loss(x, -x).item() == pytest.approx(4, abs=1e-5)
    assert global_loss(3 * x, 0.2 * x).item() == pytest.approx(0, abs=1e-6)
    assert global_loss(torch.zeros(2, 4), torch.zeros(2, 4)).item() == 0


def test_losses_are_float32_under_autocast() -> None:
    x = torch.randn(4, 9, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert global_loss(x[:, 0].bfloat16(), x[:, 1].bfloat16()).dtype == torch.float32
        assert dense_loss(x.bfloat16(), x.bfloat16(), x.bfloat16()).dtype == torch.float32
        # bfloat16 similarities would tie; the choice inside autocast is the one outside.
        chosen = correspondence(x, x.flip(1))
    assert torch.equal(chosen, correspondence(x, x.flip(1)))


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 4),
    cells=st.integers(1, 12),
    others=st.integers(1, 12),
    block=st.integers(1, 200),
    seed=st.integers(0, 2**16),
)
def test_blocks_do_not_change_the_correspondence(images: int, cells: int, others: int, block: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(images, cells, 6, generator=generator)
    b = torch.randn(images, others, 6, generator=generator)
    whole = torch.nn.functional.cosine_similarity(a[:, :, None], b[:, None], dim=-1).argmax(-1)
    assert torch.equal(correspondence(a, b, block=block), whole)


class _Largest(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


def test_the_whole_similarity_is_never_held() -> None:
    a, b = torch.randn(2, 8, 28 * 28, 4)
    with _Largest() as largest:
        correspondence(a, b, block=2**16)
    inputs, whole = a.numel(), 8 * (28 * 28) ** 2
    assert largest.numel <= max(inputs, 2**16)
    assert largest.numel < whole / 50
