"""Where `recipes/` and `zoo/` lie: inside an installed wheel, else at the root of the repository."""

from pathlib import Path
from typing import Literal


def shipped(name: Literal["recipes", "zoo"]) -> Path:
    """The folder `name`: the wheel's copy, or the one of a checkout (editable install, torch.hub)."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
