"""Geometry against torchvision: bounds by hypothesis, the distribution by comparison, the pixels exactly."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as T
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ladder_hub.data.crops import CROP_NUMBERS, crop, draw_crop, evaluation_crop, reduced, reduction

SIDE = st.integers(1, 3000)


def numbers(seed):
    """Uniform in [0, 1), without end."""
    return iter(np.random.default_rng(seed).random, None)


@given(
    seed=st.integers(0, 2**32),
    height=SIDE,
    width=SIDE,
    scale=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted),
)
def test_box_lies_in_the_image(seed, height, width, scale, ratio):
    top, left, h, w = draw_crop(numbers(seed), height, width, scale=scale, ratio=ratio)
    assert 0 <= top <= top + h <= height
    assert 0 <= left <= left + w <= width
    assert min(h, w) > 0


@given(seed=st.integers(0, 2**32))
def test_area_and_ratio_are_those_asked_for(seed):
    _, _, h, w = draw_crop(numbers(seed), 1000, 1000, scale=(0.2, 0.4), ratio=(0.75, 4 / 3))
    assert 0.2 - 0.002 <= h * w / 1e6 <= 0.4 + 0.002
    assert 0.75 - 0.01 <= w / h <= 4 / 3 + 0.01


@pytest.mark.parametrize("shape", [(64, 64), (300, 500), (200, 60)])
def test_distribution_is_torchvisions(shape):
    image, scale, ratio = torch.empty(3, *shape), (0.08, 1.0), (0.75, 4 / 3)
    ours_of = numbers(0)
    torch.manual_seed(0)
    theirs_of = T.RandomResizedCrop(8, scale=scale, ratio=ratio)
    theirs, ours = [], []
    for _ in range(3000):
        params = theirs_of.make_params([image])
        theirs.append([params[k] for k in ("top", "left", "height", "width")])
        ours.append(draw_crop(ours_of, *shape, scale=scale, ratio=ratio))
    theirs, ours = np.array(theirs, dtype=float), np.array(ours, dtype=float)
    error = np.sqrt((theirs.var(0) + ours.var(0)) / 3000)
    assert (np.abs(theirs.mean(0) - ours.mean(0)) < 4 * error).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.08)


@pytest.mark.parametrize("shape", [(64, 64), (10, 1000)])
def test_no_image_takes_more_numbers_than_there_are(shape):
    for seed in range(200):
        few = iter(np.random.default_rng(seed).random(CROP_NUMBERS).tolist())
        draw_crop(few, *shape, scale=(0.08, 1.0), ratio=(0.75, 4 / 3))


@pytest.mark.parametrize(("shape", "box"), [((10, 1000), (0, 493, 10, 13)), ((1000, 10), (493, 0, 13, 10))])
def test_slender_image_falls_back_to_the_centre(shape, box):
    drawn = draw_crop(numbers(0), *shape, scale=(0.9, 1.0), ratio=(0.75, 4 / 3))
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


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_do_not_depend_on_the_layout(channels_last):
    image = torch.randint(0, 256, (3, 300, 400), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    laid = image.permute(1, 2, 0).contiguous().permute(2, 0, 1) if channels_last else image
    ours = crop(laid, (20, 30, 250, 333), 224, True)
    theirs = F.resized_crop(image, 20, 30, 250, 333, [224, 224], F.InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(ours, F.horizontal_flip(theirs))
    assert ours.stride(0) == 1


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((127, 500), 1),
        ((128, 128), 2),
        ((255, 900), 2),
        ((256, 257), 4),
        ((511, 512), 4),
        ((512, 900), 8),
        ((9000, 9000), 8),
    ],
)
def test_reduction_leaves_the_smaller_box_twice_the_view(sides, expected):
    first, second = sides
    assert reduction([(0, 0, first, 600), (5, 6, 700, second)], 32) == expected


@given(box=st.tuples(SIDE, SIDE, st.integers(64, 3000), st.integers(64, 3000)), by=st.sampled_from([1, 2, 4, 8]))
def test_a_reduced_box_is_off_by_half_a_pixel_at_most(box, by):
    top, left, height, width = reduced(box, by)
    for edge, whole in (
        (top, box[0]),
        (left, box[1]),
        (top + height, box[0] + box[2]),
        (left + width, box[1] + box[3]),
    ):
        assert abs(edge - whole / by) <= 0.5
    assert min(height, width) > 0
    if by == 1:
        assert (top, left, height, width) == box


@given(seed=st.integers(0, 2**32), height=st.integers(300, 3001), width=st.integers(300, 3001))
def test_a_reduced_box_lies_in_the_reduced_image(seed, height, width):
    box = draw_crop(numbers(seed), height, width, scale=(0.5, 1.0), ratio=(0.75, 4 / 3))
    for by in (2, 4, 8):
        y, x, h, w = reduced(box, by)
        assert y + h <= -(-height // by)
        assert x + w <= -(-width // by)
