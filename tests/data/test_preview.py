import numpy as np
import pytest
from pictures import policy
from PIL import Image

from ladder_hub.data.loader import TwoViews
from ladder_hub.data.photometric import augment
from ladder_hub.data.preview import contact_sheet
from ladder_hub.data.shapes import ShapesSource
from ladder_hub.data.sources import open_source

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
        last = (seen[11].permute(1, 2, 0).numpy() * 255).repeat(2, 0).repeat(2, 1)
        bottom = sheet.shape[0] - 6 - (1 - view) * (128 + 6) - 6
        right = sheet.shape[1] - 6
        assert np.abs(sheet[bottom - 128 : bottom, right - 128 : right] - last).max() <= 1
    assert [p.name for p in path.parent.iterdir()] == ["views.png"]


def test_few_images_of_any_shape(folder, tmp_path):
    source = open_source(str(folder), split="train")
    assert contact_sheet(source, path=tmp_path / "v.png", **(KEYS | {"size": 32})) == 12


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    from ladder_hub.data.sources import DataError

    with pytest.raises(DataError, match=r"^can't write views.preview=.*file/v.png: "):
        contact_sheet(ShapesSource(4, split="train"), path=tmp_path / "file" / "v.png", **KEYS)
