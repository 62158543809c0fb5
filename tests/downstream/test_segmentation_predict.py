"""Whole images through windows: every pixel is covered, and where windows overlap the logits are averaged."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ladder_hub.downstream.segmentation.predict import slid, windows


@given(length=st.integers(1, 300), side=st.integers(32, 128), part=st.floats(0.05, 1))
@settings(max_examples=200, deadline=None)
def test_windows_cover_a_side_and_stay_inside(length: int, side: int, part: float) -> None:
    stride = max(1, int(side * part))
    starts = windows(length, side, stride)
    covered = {pixel for start in starts for pixel in range(start, min(start + side, length))}
    assert covered == set(range(length))
    assert starts[0] == 0
    assert starts[-1] == max(length - side, 0)
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(starts))


def test_the_windows_of_cityscapes() -> None:
    """Crop 769, stride 513, on 1025 x 2049."""
    assert windows(1025, 769, 513) == [0, 256]
    assert windows(2049, 769, 513) == [0, 513, 1026, 1280]


@given(height=st.integers(10, 90), width=st.integers(10, 90), stride=st.integers(8, 32))
@settings(max_examples=40, deadline=None)
def test_a_pointwise_network_sees_no_windows(height: int, width: int, stride: int) -> None:
    torch.manual_seed(0)
    pointwise = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 5, 1)).double()
    images = torch.randn(2, 3, height, width, dtype=torch.float64)
    with torch.inference_mode():
        found = slid(pointwise, images, side=32, stride=stride)
        assert torch.allclose(found.double(), pointwise(images), atol=1e-6)


def test_overlaps_are_means_of_logits() -> None:
    """A network that answers with the number of its call: 1, 2 for two windows that overlap by half."""
    calls = iter((1.0, 2.0))
    found = slid(
        lambda image: torch.full((1, 2, *image.shape[-2:]), next(calls)), torch.zeros(1, 3, 4, 6), side=4, stride=2
    )
    assert found[0, 0, 0].tolist() == pytest.approx([1, 1, 1.5, 1.5, 2, 2])
    assert found.shape == (1, 2, 4, 6)
