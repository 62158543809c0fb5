import os
from pathlib import Path

import numpy as np
import pytest
from pictures import policy
from PIL import Image

from ladder_hub.data.loader import TwoViews
from ladder_hub.data.photometric import augment
from ladder_hub.data.preview import contact_sheet
from ladder_hub.data.shapes import ShapesSource
from ladder_hub.data.sources import DataError, open_source

KEYS = {
    "size": 64,
    "crop_scale": (0.2, 1.0),
    "crop_ratio": (0.75, 4 / 3),
    "flip": 0.5,
    "policies": (policy(), policy()),
    "seed": 3,
}


def test_holds_the_very_views_that_training_sees(tmp_path):
    source = ShapesSource(40, split="train")
    path = tmp_path / "new" / "views.png"
    assert contact_sheet(source, path=path, columns=4, **KEYS) == 12
    sheet = np.array(Image.open(path).convert("RGB")).astype(int)
    batch = next(TwoViews(source, **KEYS, batch_size=12, workers=0).batches(0, samples=12))
    for view in range(2):
        seen = augment(batch.views[view], batch.photometric[view])
        last = (seen[11].permute(1, 2, 0).numpy().astype(int)).repeat(2, 0).repeat(2, 1)
        bottom = sheet.shape[0] - 6 - (1 - view) * (128 + 6) - 6
        right = sheet.shape[1] - 6
        assert np.abs(sheet[bottom - 128 : bottom, right - 128 : right] - last).max() <= 1
    assert [p.name for p in path.parent.iterdir()] == ["views.png"]


def test_few_images_of_any_shape(folder, tmp_path):
    source = open_source(str(folder), split="train")
    assert contact_sheet(source, path=tmp_path / "v.png", **(KEYS | {"size": 32})) == 12


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^can't write views.preview=.*file/v.png: "):
        contact_sheet(ShapesSource(4, split="train"), path=tmp_path / "file" / "v.png", **KEYS)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(DataError) as caught:
        contact_sheet(ShapesSource(4, split="train"), path=tmp_path, **KEYS)
    assert str(caught.value) == (
        f"views.preview={tmp_path} is a folder; give the file to write: {tmp_path / 'views.png'}"
    )


def test_home_folder_and_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0o027)
    try:
        contact_sheet(ShapesSource(4, split="train"), path=Path("~/v.png"), **KEYS)
    finally:
        os.umask(before)
    assert (tmp_path / "v.png").stat().st_mode & 0o777 == 0o640


def test_unknown_user_and_name_too_long(tmp_path):
    with pytest.raises(DataError, match=r"^~nouser-here/v.png: the home folder of ~nouser-here is not known; "):
        contact_sheet(ShapesSource(4, split="train"), path=Path("~nouser-here/v.png"), **KEYS)
    path = tmp_path / ("x" * 300)
    with pytest.raises(DataError, match=r"^can't write views.preview=.*: File name too long$"):
        contact_sheet(ShapesSource(4, split="train"), path=path, **KEYS)
