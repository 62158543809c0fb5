"""Hugging Face datasets by `hf:`, on a local folder: what is read, and every refusal."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import jpeg

from ladder_hub.data.decode import decode
from ladder_hub.data.sources import BadImage, DataError, open_source

datasets = pytest.importorskip("datasets")

COUNT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two splits as parquet; one image is no image, one row names a file outside."""
    root = tmp_path_factory.mktemp("hub") / "pictures"
    root.mkdir()
    secret = root.parent / "secret.jpg"
    secret.write_bytes(jpeg(1))
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]), text=datasets.Value("string")
    )
    images = [{"bytes": jpeg(1), "path": None} for _ in range(COUNT)]
    images[4] = {"bytes": b"no picture", "path": None}
    images[5] = {"bytes": None, "path": str(secret)}
    rows = {"image": images, "label": [0, 1] * 3, "text": ["x"] * COUNT}
    for split in ("train", "test"):
        datasets.Dataset.from_dict(rows, features=features).to_parquet(root / f"{split}-00000-of-00001.parquet")
    return root


def test_rows_are_images_with_labels_and_names(folder: Path) -> None:
    source = open_source(f"hf:{folder}", split="train")
    assert len(source) == COUNT
    assert source.class_names == ["cat", "dog"]
    assert np.array_equal(source.labels, [0, 1] * 3)
    assert (source.image(0) == decode(jpeg(1))).all()
    assert source.key(3) == "pictures/train:3"


def test_rows_are_not_trusted(folder: Path) -> None:
    source = open_source(f"hf:{folder}", split="train")
    for index, reason in ((4, "not an image"), (5, "the row names a file outside the dataset")):
        with pytest.raises(BadImage) as error:
            source.image(index)
        assert (error.value.key, error.value.reason) == (f"pictures/train:{index}", reason)


def test_the_digest_is_of_the_files_and_the_choice(folder: Path) -> None:
    first = open_source(f"hf:{folder}", split="train").fingerprint()
    assert first == open_source(f"hf:{folder}?split=train", split="train").fingerprint()
    assert (first["count"], first["classes"], first["name"]) == (COUNT, 2, "pictures")
    assert first["digest"] != open_source(f"hf:{folder}?split=test", split="train").fingerprint()["digest"]


def test_the_default_split_of_val(folder: Path) -> None:
    assert open_source(f"hf:{folder}", split="val").key(0) == "pictures/test:0"


REFUSED = [
    ("?split=valid", "there is no split 'valid'; there are "),
    ("?config=other", "can't open hf:"),
    ("?image=text", "the column 'text' holds no images; perhaps image"),
    ("?image=picture", "there is no column 'picture'; there are image, label, text"),
    ("?label=text", "the column 'text' holds no class numbers; perhaps label"),
    ("?labels=label", "there is no option 'labels'; there are config, split, revision, image, label"),
    ("?label=", "the option label has no value"),
    ("?label", "write the options as in hf:org/name?split=train&label=label"),
    ("/none", "there is no folder"),
]


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_refusals(query: str, message: str, folder: Path) -> None:
    with pytest.raises(DataError) as error:
        open_source(f"hf:{folder}{query}", split="train")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_package(folder: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"needs the package datasets: pip install 'ladder-hub\[hf\]'"):
        open_source(f"hf:{folder}", split="train")
