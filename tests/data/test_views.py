"""Views cut from a smaller image where that is enough: which, and how little they differ."""

import io

import numpy as np
import pytest
import torch
from pictures import policy
from PIL import Image

from ladder_hub.data.crops import crop, draw_crop
from ladder_hub.data.decode import Encoded, decode
from ladder_hub.data.picture import Pixels
from ladder_hub.data.shards import ShardSource
from ladder_hub.data.views import ViewCutter

CUTTER = ViewCutter(32, (0.08, 1.0), (0.75, 4 / 3), 0.5, (policy(), policy()), 0)


def photo(width, height, seed=0):
    """Something of every frequency, falling off as in a photograph."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for octave in range(1, 8):
        small = rng.normal(size=(2**octave, 2**octave, 3)) * 40 / octave
        for channel in range(3):
            layer = Image.fromarray(small[..., channel].astype(np.float32)).resize((width, height), Image.BICUBIC)
            total[..., channel] += np.asarray(layer)
    file = io.BytesIO()
    Image.fromarray((128 + total).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


class Spy(Encoded):
    """Remembers how it was read."""

    reduction = 0

    def read(self, reduction=1):
        self.reduction = reduction
        return super().read(reduction)


def differences(data, cutter, indices):
    """Mean and largest absolute difference of each view from the one cut from every pixel, where less was read."""
    whole = decode(data)
    for index in indices:
        picture = Spy(data)
        (chance,) = cutter.chance(0, [index])
        views = cutter.cut(chance, picture)
        if picture.reduction == 1:
            continue
        for ours, theirs in zip(views, cutter.cut(chance, Pixels(whole)), strict=True):
            difference = (ours.float() - theirs.float()).abs()
            yield difference.mean().item(), difference.max().item()


def test_a_small_photo_is_read_whole_and_exactly():
    data = photo(120, 90)
    whole = decode(data)
    for chance in CUTTER.chance(0, range(20)):
        for view, numbers in zip(CUTTER.cut(chance, Encoded(data)), chance.tolist(), strict=True):
            box = draw_crop(iter(numbers), 90, 120, scale=(0.08, 1.0), ratio=(0.75, 4 / 3))
            assert torch.equal(view, crop(whole, box, 32, numbers[22] < 0.5))


def test_a_large_photo_is_read_smaller_and_differs_little():
    found = np.array(list(differences(photo(1000, 700), CUTTER, range(60))))
    assert len(found) > 60
    assert found[:, 0].mean() < 2
    assert found[:, 0].max() < 6
    assert found[:, 1].max() < 60


@pytest.mark.real
def test_real_photos_enlarged_differ_little(real_data):
    shard = real_data / "imagenet-photos" / "photos-000000.tar"
    source = ShardSource([shard], spec=str(shard))
    found = []
    for index in range(0, 500, 60):
        image = Image.fromarray(source.image(index).permute(1, 2, 0).numpy())
        file = io.BytesIO()
        image.resize((image.width * 4, image.height * 4), Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
        found += list(differences(file.getvalue(), ViewCutter(**{**vars(CUTTER), "size": 224}), range(8)))
    means, highest = np.array(found).T
    assert len(found) > 20
    assert means.mean() < 2
    assert means.max() < 8
    assert highest.max() < 80
