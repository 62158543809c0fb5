"""A cache and a folder of pictures for tests of the data room."""

from pathlib import Path

import pytest
from pictures import jpeg


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, twelve pictures."""
    root = tmp_path / "pictures"
    for number in range(12):
        file = root / ("cat", "dog")[number % 2] / f"{number:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
    return root
