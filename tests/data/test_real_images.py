"""Photographs: the pipeline on what users will bring."""

import io

import numpy as np
import pytest
import webdataset as wds
from pictures import policy
from PIL import Image

from ladder_hub.data.loader import TwoViews, evaluation_batches
from ladder_hub.data.photometric import augment
from ladder_hub.data.sources import open_source

pytestmark = pytest.mark.real


def test_tiny_imagenet(real_data):
    root = real_data / "tiny-imagenet-100"
    train = open_source(f"{root}/train-{{000000..000005}}.tar", split="train")
    val = open_source(f"{root}/val-000000.tar", split="val")
    assert (len(train), len(val)) == (30_000, 5_000)
    assert (np.bincount(val.labels) == 50).all()
    assert len(np.unique(train.labels)) == 100
    for index in range(0, 5000, 500):
        assert train.image(index).shape == (3, 64, 64)


def test_index_against_webdataset(real_data):
    path = str(real_data / "tiny-imagenet-100" / "val-000000.tar")
    source = open_source(path, split="val")
    for index, sample in enumerate(wds.WebDataset(path, shardshuffle=False)):
        if index == 200:
            break
        assert source.key(index) == f"val-000000.tar:{sample['__key__']}.jpg"
        assert source.labels[index] == int(sample["cls"])
        expected = np.array(Image.open(io.BytesIO(sample["jpg"])).convert("RGB"))
        assert (source.image(index).permute(1, 2, 0).numpy() == expected).all()


def test_photos_through_the_whole_pipeline(real_data):
    source = open_source(str(real_data / "imagenet-photos" / "photos-000000.tar"), split="train")
    assert len(source) == 500
    loader = TwoViews(
        source,
        size=224,
        crop_scale=(0.08, 1.0),
        crop_ratio=(0.75, 4 / 3),
        flip=0.5,
        policies=(policy(blur=1.0, solarize=0.0), policy(blur=0.1)),
        seed=0,
        batch_size=16,
        workers=2,
    )
    (batch,) = loader.batches(0, samples=16)
    assert not batch.bad
    for view, params in zip(batch.views, batch.photometric, strict=True):
        seen = augment(view, params)
        assert 0 <= seen.min() < seen.max() <= 255
        assert seen.float().std() > 25


def test_photos_for_evaluation(real_data):
    source = open_source(str(real_data / "imagenet-photos" / "photos-000000.tar"), split="val")
    ((images, labels, bad),) = evaluation_batches(
        source, indices=range(8), size=224, crop_pct=0.875, batch_size=8, workers=0
    )
    assert images.shape == (8, 3, 224, 224)
    assert labels.tolist() == list(range(0, 16, 2))
    assert not bad
