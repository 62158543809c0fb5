"""Geometry against torchvision: bounds by hypothesis, the distribution by comparison, the pixels exactly."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as T
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub.data.crops import crop, draw_crop, evaluation_crop

SIDE = st.integers(1, 3000)


@given(
    seed=st.integers(0, 2**32),
    height=SIDE,
    width=SIDE,
    scale=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
)
def test_box_lies_in_the_image(seed, height, width, scale, ratio):
    top, left, h, w = draw_crop(np.random.default_rng(seed), height, width, scale=scale, ratio=ratio)
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert min(h, w) > 0


@given(seed=st.integers(0, 2**32))
def test_area_and_ratio_are_those_asked_for(seed):
    _, _, h, w = draw_crop(np.random.default_rng(seed), 1000, 1000, scale=(0.2, 0.4), ratio=(0.75, 4 / 3))
    assert 0.2 - 0.002 <= h * w / 1e6 <= 0.4 + 0.002
    assert 0.75 - 0.01 <= w / h <= 4 / 3 + 0.01


@pytest.mark.parametrize("shape", [(64, 64), (300, 500), (200, 60)])
def test_distribution_is_torchvisions(shape):
    image, scale, ratio = torch.empty(3, *shape), (0.08, 1.0), (0.75, 4 / 3)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    theirs_of = T.RandomResizedCrop(8, scale=scale, ratio=ratio)
    theirs, ours = [], []
    for _ in range(3000):
        params = theirs_of.make_params([image])
        theirs.append([params[k] for k in ("top", "left", "height", "width")])
        ours.append(draw_crop(rng, *shape, scale=scale, ratio=ratio))
    theirs, ours = np.array(theirs, dtype=float), np.array(ours, dtype=float)
    error = np.sqrt((theirs.var(0) + ours.var(0)) / 3000)
    assert (np.abs(theirs.mean(0) - ours.mean(0)) < 4 * error).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.08)


@pytest.mark.parametrize(("shape", "box"), [((10, 1000), (0, 493, 10, 13)), ((1000, 10), (493, 0, 13, 10))])
def test_slender_image_falls_back_to_the_centre(shape, box):
    drawn = draw_crop(np.random.default_rng(0), *shape, scale=(0.9, 1.0), ratio=(0.75, 4 / 3))
    assert drawn == box
    params = T.RandomResizedCrop(8, scale=(0.9, 1.0), ratio=(0.75, 4 / 3)).make_params([torch.empty(3, *shape)])
    assert drawn == tuple(params[k] for k in ("top", "left", "height", "width"))


@pytest.mark.parametrize("flip", [False, True])
def test_pixels_are_torchvisions(flip):
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours = crop(image, (5, 7, 30, 40), 24, flip)
    theirs = F.resized_crop(image, 5, 7, 30, 40, [24, 24], interpolation=F.InterpolationMode.BICUBIC, antialias=True)
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, F.horizontal_flip(theirs) if flip else theirs)


@pytest.mark.parametrize("shape", [(50, 70), (500, 300), (20, 20)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
def test_evaluation_crop_is_resize_and_centre(shape, crop_pct):
    image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    resize = T.Resize(round(32 / crop_pct), interpolation=F.InterpolationMode.BICUBIC, antialias=True)
    expected = T.CenterCrop(32)(resize(image))
    assert torch.equal(evaluation_crop(image, 32, crop_pct), expected)


def test_evaluation_crop_of_a_strip_stays_small():
    strip = torch.zeros(3, 2, 60_000, dtype=torch.uint8)
    strip[:, :, 29_000:31_000] = 200
    assert (evaluation_crop(strip, 32, 1.0) == 200).all()
