"""The count of what was tried, at the end of a run; a cache of its own."""

from typing import Any

import pytest
from fuzzing import TOTALS


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(
        "fuzz: {cases} cases, {accepted} accepted, {refused} refused in one line".format(**TOTALS)
    )
