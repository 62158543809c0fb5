"""The perceptual hash against its definition, pairs against brute force, and what is said of images at first."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn

from ladder_hub.data.look import NEAR, look_at_images, look_first, near_pairs, perceptual_hash, told_images
from ladder_hub.data.sources import open_source


def photo(seed: int, side: int = 96) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def bits(a: Image.Image, b: Image.Image) -> int:
    return (perceptual_hash(pixels(a))[0] ^ perceptual_hash(pixels(b))[0]).bit_count()


def test_the_hash_is_what_it_says() -> None:
    image = photo(0, 64)
    greys = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
    waves = dctn(greys, norm="ortho")[:8, :8].ravel()[1:]
    number, plain = perceptual_hash(pixels(image))
    assert [number >> at & 1 for at in range(63)] == (waves > np.median(waves)).astype(int).tolist()
    assert not plain


def test_copies_are_near_and_others_are_far() -> None:
    for seed in range(20):
        image, file = photo(seed), io.BytesIO()
        image.save(file, "JPEG", quality=50)
        assert bits(image, Image.open(file)) <= NEAR
        assert bits(image, image.resize((48, 48))) <= NEAR
        assert bits(image, photo(seed + 100)) > NEAR


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_single_colour_is_plain(value: int) -> None:
    assert perceptual_hash(torch.full((3, 50, 40), value, dtype=torch.uint8))[1]


def test_pairs_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2**6, count, dtype=np.uint64) for count in (40, 30))
    for other in (None, second):
        found = [tuple(pair) for part in near_pairs(first, other, most=1) for pair in part.tolist()]
        there = first if other is None else other
        expected = [
            (a, b)
            for a in range(len(first))
            for b in range(0 if other is not None else a + 1, len(there))
            if (int(first[a]) ^ int(there[b])).bit_count() <= 1
        ]
        assert sorted(found) == expected
        assert len(found) == len(set(found)) > 20


def test_what_is_said_first(tmp_path: Path) -> None:
    for split, count in (("train", 70), ("val", 3)):
        (tmp_path / split).mkdir()
        for number in range(count):
            photo(number + 1000 * (split == "val"), 20 + number % 2).save(tmp_path / split / f"{number:02}.png")
    (tmp_path / "val" / "1.jpg").write_bytes(b"no image")
    train, val = (open_source(str(tmp_path / split), split=split) for split in ("train", "val"))
    said: list[str] = []
    assert look_first(train, val, said.append) == 0
    assert said == [
        "data.train: 70 images, 64 of them looked at: PNG, RGB, 20x20 to 21x21",
        "data.val: 4 images: PNG, RGB, 20x20 to 21x21, 1 can't be decoded",
    ]


def test_several_processes_see_the_same(folder: Path) -> None:
    source = open_source(str(folder), split="train")
    alone = look_at_images(source, most=100)
    assert [one.place for one in alone.seen] == list(range(12))
    assert told_images(alone) == told_images(look_at_images(source, most=100, workers=2))
