"""Masks are looked at first: what is told is what is there, and what would give a lying figure is refused."""

from pathlib import Path

import numpy as np
import pytest
import squares
from PIL import Image

from ladder_hub.data.image_source import DataError
from ladder_hub.data.pairs import PairSource, open_pairs
from ladder_hub.data.pairs_look import check_masks, look_at_masks, mask_faults, told_masks


def write(root: Path, masks: list[np.ndarray], *, names: list[str] | None = None) -> Path:
    """A folder of pairs: the images are black, the masks as given."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number, mask in enumerate(masks):
        Image.new("RGB", mask.shape[::-1]).save(root / "images" / f"{number:03}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:03}.png")
    if names:
        (root / "classes.txt").write_text("\n".join(names))
    return root


def opened(root: Path, classes: int, values: tuple[int, ...] = ()) -> PairSource:
    return open_pairs(str(root), str(root), classes=classes, values=values)[0]


def faults(source: PairSource, *, absent: bool = False, max_bad: float = 0.01) -> list[str]:
    return mask_faults(look_at_masks(source), source, "data.val=V", max_bad=max_bad, absent=absent)


def stripes(*parts: tuple[int, int]) -> np.ndarray:
    """A mask of (value, columns) side by side, ten rows."""
    return np.concatenate([np.full((10, columns), value, np.uint8) for value, columns in parts], axis=1)


def test_counts_are_those_of_numpy(tmp_path: Path) -> None:
    root = squares.write_folder(tmp_path / "set", 7)
    source = opened(root, 3)
    look = look_at_masks(source)
    masks = [np.array(Image.open(path)) for path in sorted((root / "masks").iterdir())]
    assert (look.total, look.looked, look.bad) == (7, 7, [])
    values, counts = np.unique(np.concatenate([mask.ravel() for mask in masks]), return_counts=True)
    assert dict(look.pixels) == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert dict(look.masks) == {value: sum((mask == value).any() for mask in masks) for value in values.tolist()}
    assert faults(source) == []


def test_what_is_told(tmp_path: Path) -> None:
    source = opened(write(tmp_path / "set", [stripes((0, 5), (1, 3), (255, 2))] * 2, names=["floor", "wall"]), 2)
    assert told_masks(look_at_masks(source), source) == "2 masks: floor 50.0%, wall 30.0%; ignored 20.0%"
    parts = [(0, 30), *((value, value) for value in range(1, 10))]
    many = opened(write(tmp_path / "many", [stripes(*parts)]), 10)
    assert told_masks(look_at_masks(many), many) == (
        "1 masks: class 0 40.0%, class 9 12.0%, class 8 10.7%, 5 between, class 2 2.7%, class 1 1.3%; ignored 0.0%"
    )


def test_binary_masks_are_refused_and_can_be_mapped(tmp_path: Path) -> None:
    """What most tools write: 0 and 255. 255 means ignored, so the figure would be 100 % of nothing."""
    masks = [stripes((0, 7), (255, 3)), stripes((255, 10))]
    root = write(tmp_path / "set", masks)
    (fault,) = faults(opened(root, 2))
    assert "its masks hold 0 and 255 alone" in fault
    assert "give data.values=[0,255]" in fault
    assert faults(opened(root, 2), absent=True) == [fault]
    mapped = opened(root, 0, (0, 255))
    assert mapped.classes == 2
    assert [mapped.pair(index).mask.tolist() for index in (0, 1)] == [(mask // 255).tolist() for mask in masks]
    assert faults(mapped) == []
    assert told_masks(look_at_masks(mapped), mapped) == "2 masks: class 1 65.0%, class 0 35.0%; ignored 0.0%"


def test_values_map_in_any_order_and_keep_255_ignored(tmp_path: Path) -> None:
    source = opened(write(tmp_path / "set", [stripes((26, 2), (7, 3), (255, 5))]), 0, (7, 26))
    assert source.pair(0).mask[0].tolist() == [1, 1, 0, 0, 0, 255, 255, 255, 255, 255]


def test_a_value_that_none_of_values_names_is_refused(tmp_path: Path) -> None:
    source = opened(write(tmp_path / "set", [stripes((7, 5), (26, 5))] * 4 + [stripes((3, 10))]), 0, (7, 26))
    (fault,) = faults(source)
    assert fault.startswith("data.val=V: label 3 in 1 of 5 masks (such as images/004.png)")
    assert "stored as 7, 26 (and 255, ignored)" in fault


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_label_beyond_the_classes_is_refused_wherever_it_is(dtype: type, tmp_path: Path) -> None:
    masks = [stripes((0, 5), (1, 5)).astype(dtype) for _ in range(6)]
    masks[5][0, 0] = 9
    (fault,) = faults(opened(write(tmp_path / "set", masks), 2), max_bad=1.0)
    assert "label 9 in 1 of 6 masks (such as images/005.png), but the classes are 0 to 1 (and 255, ignored)" in fault


def test_no_labelled_pixel_and_a_single_class_are_refused(tmp_path: Path) -> None:
    assert "no pixel of its 2 masks has a class" in faults(opened(write(tmp_path / "a", [stripes((255, 9))] * 2), 2))[0]
    (fault,) = faults(opened(write(tmp_path / "b", [stripes((1, 9))]), 2), absent=True)
    assert "class 1 alone: there is nothing to tell apart" in fault


def test_an_absent_class_is_refused_unless_allowed(tmp_path: Path) -> None:
    source = opened(write(tmp_path / "set", [stripes((0, 5), (2, 5))], names=["a", "b", "c"]), 3)
    (fault,) = faults(source)
    assert "1 of the 3 classes are in none of its 1 masks (b)" in fault
    assert "data.absent=allow" in fault
    assert faults(source, absent=True) == []


def test_a_rare_class_is_looked_for_to_the_end(tmp_path: Path) -> None:
    masks = [stripes((0, 5), (1, 5)) for _ in range(12)]
    masks[8][0, 0] = 2
    source = opened(write(tmp_path / "set", masks), 3)
    look = look_at_masks(source, most=4)
    assert look.masks[2] == 1
    assert look.looked in (8, 12)
    assert look_at_masks(source, most=4, until_all=False).looked == 4
    some = look_at_masks(opened(tmp_path / "set", 2), most=4)
    assert some.looked == 4  # both classes were found: no reason to read on
    assert told_masks(some, source).startswith("4 of 12 masks looked at: ")


def test_too_many_broken_pairs_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "set", [stripes((0, 5), (1, 5)) for _ in range(10)])
    (root / "masks" / "007.png").write_bytes(b"no mask")
    source = opened(root, 2)
    (fault,) = faults(source)
    assert "1 of 10 pairs looked at can't be used: images/007.png (the mask is no PNG, or damaged)" in fault
    assert faults(source, max_bad=0.1) == []
    with pytest.raises(DataError, match=r"data.train=.* pairs looked at can't be used"):
        check_masks([("data.train", look_at_masks(source), source)], max_bad=0.01, absent=False)
