"""Hugging Face datasets as streams, on a local folder of several files."""

from pathlib import Path

import pytest
from pictures import jpeg

from ladder_hub.data.sources import DataError, is_stream, open_source, open_stream

datasets = pytest.importorskip("datasets")

FILES, ROWS = 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub") / "pictures"
    root.mkdir()
    (root.parent / "secret.jpg").write_bytes(jpeg(99))
    for file in range(FILES):
        images = [{"bytes": jpeg(file * ROWS + row), "path": None} for row in range(ROWS)]
        if file == 0:
            images[1] = {"bytes": None, "path": str(root.parent / "secret.jpg")}
        features = datasets.Features(image=datasets.Image(), text=datasets.Value("string"))
        table = datasets.Dataset.from_dict({"image": images, "text": ["x"] * ROWS}, features=features)
        table.to_parquet(root / f"train-{file:05d}-of-{FILES:05d}.parquet")
    return root


def opened(spec: str, samples: int = FILES * ROWS):
    return open_stream(spec, samples=samples, buffer=4, patience=60)


def test_every_row_once_and_file_by_file(folder: Path) -> None:
    source = opened(f"hf:{folder}?stream=true")
    assert len(source.shards) == FILES
    found = {image.key: image.data for image in source.read(seed=0, epoch=0)}
    expected = {f"pictures/train/{f}:{row}": jpeg(f * ROWS + row) for f in range(FILES) for row in range(ROWS)}
    expected["pictures/train/0:1"] = b""  # a row that names a file outside is not followed
    assert found == expected
    parts = [{image.key for image in source.read(seed=0, epoch=0, rank=rank, processes=2)} for rank in range(2)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(expected)


def test_what_provenance_records(folder: Path) -> None:
    facts = opened(f"hf:{folder}?stream=true").fingerprint()
    assert (facts["source"], facts["name"], facts["count"]) == ("stream", "pictures", FILES * ROWS)
    assert len(facts["digest"]) == 64


def test_refusals(folder: Path) -> None:
    assert is_stream(f"hf:{folder}?stream=true")
    assert not is_stream(f"hf:{folder}?stream=false")
    with pytest.raises(DataError, match="stream is true or false, not 'yes'"):
        is_stream(f"hf:{folder}?stream=yes")
    with pytest.raises(DataError, match=r"give data\.samples"):
        opened(f"hf:{folder}?stream=true", samples=0)
    with pytest.raises(DataError, match="the column 'text' holds no images"):
        opened(f"hf:{folder}?stream=true&image=text")
    with pytest.raises(DataError, match=r"a stream, which only data\.train of a training run reads"):
        open_source(f"hf:{folder}?stream=true", split="val")
