"""Pictures: what is where on the sheet, and the colours of the classes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ladder_hub.downstream.segmentation.pictures import draw, palette


def test_the_palette_is_that_of_vocs_masks() -> None:
    """The first colours of VOC's own palette: background, aeroplane, bicycle, ..., tvmonitor, void."""
    colours = palette(256)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0), 15: (192, 128, 128)}
    assert {label: tuple(colours[label].tolist()) for label in known} == known
    assert len(np.unique(colours, axis=0)) == 256


def test_image_truth_and_prediction_stand_side_by_side(tmp_path: Path) -> None:
    image = torch.full((3, 40, 80), 100, dtype=torch.uint8)
    truth = torch.zeros(40, 80, dtype=torch.uint8)
    truth[:, 40:] = 1
    truth[:20, :40] = 255
    predicted = torch.full((40, 80), 2)
    draw(tmp_path / "a.png", image, truth, predicted, ["background", "square", "disc"])
    sheet = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert sheet.shape[1] == 3 * 320 + 2 * 8
    colours = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    mixed = [[round(0.65 * c + 35) for c in colour] for colour in colours]
    middle = 22 + 120  # below the title, in the lower half
    assert sheet[middle, 40].tolist() == [100, 100, 100]
    assert sheet[middle, 328 + 40].tolist() == mixed[0]
    assert sheet[middle, 328 + 280].tolist() == mixed[1]
    assert sheet[22 + 40, 328 + 40].tolist() == [255, 255, 255]
    assert sheet[middle, 656 + 40].tolist() == mixed[2]
    legend = {tuple(pixel) for pixel in sheet[22 + 160 :].reshape(-1, 3).tolist()}
    assert {(0, 0, 0), (128, 0, 0), (0, 128, 0)} <= legend


def test_a_long_legend_is_broken_into_lines(tmp_path: Path) -> None:
    mask = torch.arange(20, dtype=torch.uint8).expand(20, 20).contiguous()
    names = [f"a long name for class {number}" for number in range(20)]
    draw(tmp_path / "b.png", torch.zeros(3, 20, 20, dtype=torch.uint8), mask, mask.long(), names)
    sheet = Image.open(tmp_path / "b.png")
    assert sheet.height > 22 + 320 + 3 * 18
