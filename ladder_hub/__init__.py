"""ladder-hub: recipes in, trustworthy backbones out.

The public names load on first use, so that `import ladder_hub` costs nothing (timm alone takes seconds).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ladder_hub.models import create_model as create_model
    from ladder_hub.models import list_models as list_models
    from ladder_hub.recipe import load_recipe as load_recipe
    from ladder_hub.training.run import train as train

__version__ = "0.1.0"

_HOME = {
    "create_model": "ladder_hub.models",
    "list_models": "ladder_hub.models",
    "load_recipe": "ladder_hub.recipe",
    "train": "ladder_hub.training.run",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ladder_hub' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
