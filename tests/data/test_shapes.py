"""The embedded set is the same bits everywhere, and its boxes and masks tell the truth."""

import hashlib
import pickle

import numpy as np
import pytest
import torch

from ladder_hub.data.drawing import Dice, splitmix64
from ladder_hub.data.shapes import CLASS_NAMES, ShapesSource

DIGESTS = {
    "train": "6a7239fb8ce01ff4acec7ab0bb3ea45347ee6a007130d127f43be88d23f91c6c",
    "val": "f4971786d1a11edee94e480bbef40a65079414da3d44235cbda6b19c71d00553",
}


@pytest.mark.parametrize("split", ["train", "val"])
def test_first_64_images_are_these_bits(split):
    source = ShapesSource(64, split=split)
    digest = hashlib.sha256()
    for index in range(64):
        sample = source.sample(index)
        digest.update(sample.image.numpy().tobytes() + sample.masks.numpy().tobytes() + bytes(sample.labels.tolist()))
    assert digest.hexdigest() == DIGESTS[split]


def test_hash_is_splitmix64():
    # The published test vector: the first outputs of SplitMix64 with seed 1234567.
    step = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + step * k) % 2**64 for k in range(3)], dtype=np.uint64)
    assert splitmix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_dice_are_even():
    dice = Dice(7)
    counts = np.bincount([dice.below(6) for _ in range(6000)])
    assert (np.abs(counts - 1000) < 150).all()


def test_counts_classes_and_names():
    source = ShapesSource(split="train")
    assert len(source) == 4096
    assert len(CLASS_NAMES) == 10
    assert source.class_names == CLASS_NAMES
    assert np.bincount(source.labels, minlength=10).min() > 330
    assert source.key(12) == "shapes/train/000012"
    assert source.image(0).shape == (3, 64, 64)
    assert source.image(0).dtype == torch.uint8


def test_a_longer_set_begins_with_the_shorter():
    short, long = ShapesSource(8, split="val"), ShapesSource(80, split="val")
    assert all(torch.equal(short.image(i), long.image(i)) for i in range(8))
    assert (short.labels == long.labels[:8]).all()


def test_train_and_val_share_no_image():
    seen = set()
    for split in ("train", "val"):
        source = ShapesSource(300, split=split)
        seen |= {source.image(i).numpy().tobytes() for i in range(300)}
    assert len(seen) == 600


@pytest.mark.parametrize("size", [32, 64, 100])
def test_boxes_and_masks(size):
    source = ShapesSource(60, split="train", size=size)
    several = 0
    for index in range(60):
        sample = source.sample(index)
        k = len(sample.labels)
        several += k > 1
        assert sample.image.shape == (3, size, size)
        assert sample.boxes.shape == (k, 4)
        assert sample.boxes.dtype == torch.float32
        assert sample.masks.shape == (k, size, size)
        assert sample.masks.dtype == torch.bool
        assert sample.label == source.labels[index] == sample.labels[0]
        assert torch.equal(sample.image, source.image(index))
        assert sample.masks.sum(0).max() == 1  # objects do not overlap
        areas = sample.masks.sum((1, 2))
        assert areas.argmax() == 0
        assert areas.min() > 0
        for (x0, y0, x1, y1), mask in zip(sample.boxes.int().tolist(), sample.masks, strict=True):
            inside = mask[y0:y1, x0:x1]
            assert inside.sum() == mask.sum()
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
    assert several > 15


def test_colour_says_nothing_about_the_class():
    """A nearest-centroid guess from mean and deviation of the colours does about as well as chance (10 %)."""

    def colours(split, count):
        source = ShapesSource(count, split=split)
        x = torch.stack([source.image(i) for i in range(count)]).float()
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1), torch.from_numpy(source.labels)

    (x, y), (q, z) = colours("train", 500), colours("val", 500)
    guess = y[torch.cdist(q, x).argmin(1)]
    assert (guess == z).float().mean() < 0.18


def test_fingerprint_and_pickle():
    source = ShapesSource(20, split="train")
    print_ = source.fingerprint()
    assert (print_["source"], print_["name"], print_["count"], print_["classes"]) == (
        "shapes",
        "shapes",
        20,
        10,
    )
    assert print_["digest"] != ShapesSource(20, split="val").fingerprint()["digest"]
    assert print_["digest"] != ShapesSource(21, split="train").fingerprint()["digest"]
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint() == print_
    assert torch.equal(again.image(3), source.image(3))
