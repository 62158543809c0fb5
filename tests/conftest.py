"""Fixtures that more than one room needs, and the environment that every test runs in."""

import os
import tempfile
from pathlib import Path

# Read once, at import, by the libraries concerned: no test reaches the network, and two cores are not fought over.
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1", MPLBACKEND="Agg")
# Nor is anything of the person who runs them: no cache of theirs, no colours, no repository around a git hook.
os.environ["LADDER_HUB_CACHE"] = tempfile.mkdtemp(prefix="ladder-hub-tests-")
for name in [key for key in os.environ if key.startswith(("GIT_", "FORCE_COLOR", "TTY_", "WORLD_SIZE", "SLURM_"))]:
    del os.environ[name]

import pytest  # noqa: E402

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images that the maintainers keep beside the checkout; where it is absent the test skips."""
    folder = Path(os.environ.get("LADDER_HUB_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; LADDER_HUB_TEST_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def running_hub():
    """A loopback Hub, and processes that ask it: (`FakeHub`, `Clients`)."""
    from fake_hub import Clients, FakeHub

    with FakeHub() as hub, Clients(hub.endpoint) as clients:
        yield hub, clients


@pytest.fixture
def hub(running_hub):
    """The loopback Hub, empty."""
    running_hub[0].forget()
    return running_hub[0]


@pytest.fixture
def clients(running_hub):
    """Where processes that ask the Hub are started."""
    return running_hub[1]
