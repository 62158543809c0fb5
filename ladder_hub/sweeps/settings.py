"""What `ladder-hub sweep` takes beside the keys of its runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ladder_hub.settings import Section, settings_from
from ladder_hub.sweeps.cells import Scale

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class SweepSettings(Section):
    """The sweep's own keys; every other `key=value` is one of all its runs."""

    scale: Scale = "tiny64"
    """Which recipes the cells build on: `tiny64_<method>`, or the paper's `<method>_<epochs>e`."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    cells: tuple[str, ...] = ()
    """Only these; none: all."""
    out: str = ""
    """The sweep's folder; empty: sweeps/<name>."""
    jobs: Count = 1
    """Runs at once; with several CUDA devices each job has the next one to itself."""
    evals: tuple[str, ...] = ("knn stage=all k=20",)
    """What measures each finished run: command lines of `ladder-hub eval` without MODEL."""
    floor: bool = True
    """Measure the untrained network too."""
    show: bool = False
    """Print the table of what is finished; run nothing."""


def read_settings(name: str, words: Sequence[str]) -> tuple[SweepSettings, Path, list[str]]:
    """The sweep's settings, its folder, and the overrides of its runs.

    Args:
        name: Of the sweep; decides the folder where `out` does not.
        words: `key=value`, of both kinds.

    Raises:
        SettingError: a key of the sweep can't have its value.
    """
    own = [word for word in words if word.partition("=")[0] in SweepSettings.model_fields]
    settings = settings_from(SweepSettings, own)
    overrides = [word for word in words if word not in own]
    return settings, Path(settings.out).expanduser() if settings.out else Path("sweeps") / name, overrides
