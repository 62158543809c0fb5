"""Augmentation: image and mask move together, crops are varied, nothing is drawn but from the generator."""

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder_hub.data.chance import view_generator
from ladder_hub.data.pairs import Pair
from ladder_hub.downstream.segmentation.augment import augmented, distorted, drawn_crop, fitted, padded, saturated
from ladder_hub.downstream.segmentation.settings import SegmentViews, read_recipe

MEAN_COLOUR = torch.tensor([124, 116, 104], dtype=torch.uint8)


def views(**changes: Any) -> SegmentViews:
    return read_recipe("voc_small").views.model_copy(update={"crop": 64, **changes})


NO_COLOURS = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}


def generator(seed: int) -> np.random.Generator:
    return view_generator(seed=seed, epoch=0, index=0, view=0)


def blocks(height: int, width: int) -> Pair:
    """An image whose colour is its label, in blocks of 16 pixels: where each pixel came from can be read off."""
    rows, columns = torch.arange(height) // 16, torch.arange(width) // 16
    mask = (rows[:, None] * 5 + columns[None] * 3) % 20
    return Pair((mask * 12).to(torch.uint8).expand(3, -1, -1).contiguous(), mask.to(torch.uint8))


@given(seed=st.integers(0, 2**32), height=st.integers(20, 150), width=st.integers(20, 150))
@settings(max_examples=60, deadline=None)
def test_image_and_mask_move_together(seed: int, height: int, width: int) -> None:
    pair = augmented(blocks(height, width), views(**NO_COLOURS), (128, 64), generator(seed))
    assert (pair.image.shape, pair.mask.shape) == ((3, 64, 64), (64, 64))
    assert pair.image.dtype == pair.mask.dtype == torch.uint8
    filled = pair.mask != 255
    rows, columns = filled.any(1), filled.any(0)
    assert torch.equal(filled, rows[:, None] & columns[None])  # a rectangle at the top left
    assert (pair.image[:, ~filled] == MEAN_COLOUR[:, None]).all()
    # Bilinear mixes colours at the edges of the blocks; inside them colour and label agree.
    agree = (pair.image[0][filled].float() / 12 - pair.mask[filled].float()).abs() < 0.2
    assert agree.float().mean() > 0.5


@given(seed=st.integers(0, 2**32), ratio=st.floats(0.3, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_crop_of_one_class_is_taken_only_after_ten_others(seed: int, ratio: float) -> None:
    """A third of the mask is class 1, the rest 0: a varied crop is found in most of the draws."""
    mask = torch.zeros(60, 90, dtype=torch.uint8)
    mask[:, 60:] = 1
    mask[:10] = 255
    top, left = drawn_crop(mask, 40, ratio, generator(seed))
    assert 0 <= top <= 20
    assert 0 <= left <= 50

    def varied(top: int, left: int) -> bool:
        part = mask[top : top + 40, left : left + 40]
        shares = [int((part == label).sum()) for label in (0, 1)]
        return min(shares) > 0 and max(shares) / sum(shares) < ratio

    rng = generator(seed)
    draws = [(int(rng.random() * 21), int(rng.random() * 51)) for _ in range(11)]
    assert (top, left) == next((draw for draw in draws[:10] if varied(*draw)), draws[10])


def test_any_crop_will_do_where_the_ratio_is_one() -> None:
    mask = torch.zeros(60, 90, dtype=torch.uint8)
    rng = generator(3)
    assert drawn_crop(mask, 40, 1.0, generator(3)) == (int(rng.random() * 21), int(rng.random() * 51))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((375, 500), (2048, 512), (512, 683)),  # VOC: the short side decides
        ((100, 1000), (2048, 512), (205, 2048)),  # a strip: the long one
        ((1024, 2048), (2049, 1025), (1025, 2049)),  # Cityscapes
        ((500, 375), (1024, 256), (341, 256)),
    ],
)
def test_images_are_fitted_as_in_the_protocol(shape: Any, size: Any, expected: Any) -> None:
    assert fitted(shape, size) == expected


def test_scale_is_of_the_size_not_of_the_image() -> None:
    assert fitted((375, 500), (2048, 512), 0.5) == (256, 341)
    assert fitted((375, 500), (2048, 512), 2.0) == (1024, 1365)


def test_all_chance_comes_from_the_generator() -> None:
    pair = blocks(100, 120)
    first, again, other = (augmented(pair, views(), (128, 64), generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.mask, again.mask)
    assert not torch.equal(first.image, other.image)


def test_half_are_mirrored() -> None:
    """Rising to the right before, so falling where it was mirrored."""
    ramp = torch.arange(64, dtype=torch.uint8).expand(64, 64).contiguous()
    pair = Pair((ramp * 3).expand(3, -1, -1).contiguous(), ramp)
    still = views(scale=(1.0, 1.0), cat_max_ratio=1.0, **NO_COLOURS)
    found = [augmented(pair, still, (64, 64), generator(seed)).mask for seed in range(200)]
    mirrored = sum(torch.equal(mask, ramp.flip(-1)) for mask in found)
    assert sum(torch.equal(mask, ramp) for mask in found) + mirrored == 200
    assert 75 < mirrored < 125


def draws(**chosen: float) -> np.ndarray:
    """Nothing happens but what is named: its draw of how much, 0..1."""
    row = np.full(9, 0.99)
    for name, much in chosen.items():
        place = ("brightness", "contrast", "saturation", "hue").index(name)
        row[2 * place], row[2 * place + 1] = 0.0, much
    return row


def test_each_colour_operation_does_what_the_protocol_says() -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 5, 6), dtype=np.uint8))
    settings_ = read_recipe("voc_512_20k").views
    assert torch.equal(distorted(image, settings_, draws()), image)
    x = image.float()
    brighter = distorted(image, settings_, draws(brightness=1.0)).float()
    assert (brighter - (x + 32).clamp(0, 255)).abs().max() <= 1
    lower = distorted(image, settings_, draws(contrast=0.0)).float()
    assert (lower - 0.5 * x).abs().max() <= 1  # about black, not about the mean
    for name, much in (("saturation", 1.0), ("saturation", 0.0), ("hue", 0.0), ("hue", 1.0)):
        found = distorted(image, settings_, draws(**{name: much})).flatten(1).T.numpy()
        for pixel, got in zip(image.flatten(1).T.numpy() / 255, found, strict=True):
            h, s, v = colorsys.rgb_to_hsv(*pixel)
            h, s = (h + 0.1 * (2 * much - 1), s) if name == "hue" else (h, min(1.0, s * (0.5 + much)))
            assert got == pytest.approx(np.array(colorsys.hsv_to_rgb(h % 1, s, v)) * 255, abs=1.01)


def test_contrast_comes_first_or_last() -> None:
    """Saturated colours that contrast would clip: the order shows."""
    image = torch.tensor([250, 200, 60], dtype=torch.uint8).view(3, 1, 1)
    row = draws(contrast=1.0, saturation=0.0)
    settings_ = read_recipe("voc_512_20k").views
    early, late = (distorted(image, settings_, np.concatenate([row[:8], [last]])) for last in (0.9, 0.1))
    clipped = (image.float() / 255 * 1.5).clamp(0, 1)
    assert torch.equal(early, (saturated(clipped, 0.5) * 255).round().to(torch.uint8))
    assert not torch.equal(early, late)


def test_grey_and_black_have_no_saturation_to_change() -> None:
    pixels = torch.tensor([[0.0, 0.4], [0.0, 0.4], [0.0, 0.4]]).view(3, 1, 2)
    assert torch.equal(saturated(pixels, 1.5), pixels)


def test_padding_is_right_and_below() -> None:
    pair = padded(Pair(torch.ones(3, 2, 3, dtype=torch.uint8), torch.ones(2, 3, dtype=torch.uint8)), 4)
    assert pair.mask.tolist() == [[1, 1, 1, 255]] * 2 + [[255] * 4] * 2
    assert (pair.image[:, 2:] == MEAN_COLOUR.view(3, 1, 1)).all()
