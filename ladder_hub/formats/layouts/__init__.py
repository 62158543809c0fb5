"""The table of layouts: a file a project, each with the tuple `LAYOUTS`; a new file is a new row."""

import importlib
import pkgutil

from ladder_hub.formats.layout import Layout


def layouts() -> dict[str, Layout]:
    """Every layout by its name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {layout.name: layout for module in modules for layout in module.LAYOUTS}
