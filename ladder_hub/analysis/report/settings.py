"""What `report` takes beside its runs."""

from typing import Annotated

from pydantic import Field

from ladder_hub.analysis.images import ImageData
from ladder_hub.settings import Section


class ReportSettings(Section):
    """What `report` takes."""

    out: str = "report.html"
    """The file to write; replaced only where it is a report already."""
    data: ImageData = ImageData()
    """Images for the views, distances and maps; left out: those that the first run's recipe names."""
    n: Annotated[int, Field(ge=2, le=100_000)] = 128
    """Images whose two views are compared."""
    maps: Annotated[int, Field(ge=1, le=32)] = 6
    """Images whose pyramids are shown."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the choice of images, the views and the untrained network."""
    device: str = "auto"
