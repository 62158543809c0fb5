"""Which networks of timm a set of shapes may be: an index made of timm itself, kept in the cache by timm's version.

A network is remembered by a few hashes of its tensors (name and shape; the first convolution left out, which may have
any number of channels). timm's modules are built in the order in which their source speaks of the names in question,
and no further than the first that has the network: a ResNet needs ten networks, a ConvNeXt a module or two.
"""

import contextlib
import inspect
import json
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import timm
from rich.console import Console
from timm.models import list_modules
from torch import nn

from ladder_hub.backbone import BackboneError, skeleton, stage_indices
from ladder_hub.data.cache import cache_folder
from ladder_hub.formats.resnets import RESNETS
from ladder_hub.progress import Display
from ladder_hub.weights import write_whole

COUNTER = "num_batches_tracked"
Shapes = Mapping[str, tuple[int, ...]]
_SKETCH = 16
_QUIET = 12
"""Networks that are built without a word: two seconds' worth."""


@dataclass(frozen=True)
class Sketch:
    """What is remembered of a network."""

    tensors: frozenset[int]
    """The smallest hashes of (name, shape): a uniform sample of them."""
    names: frozenset[int]
    """The same of the names alone."""


def hashes(shapes: Shapes) -> tuple[set[int], set[int]]:
    """Of every (name, shape), and of every name; without counters."""
    named = {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)}
    items = {zlib.crc32(f"{name} {list(shape)}".encode()) for name, shape in named.items()}
    return items, {zlib.crc32(name.encode()) for name in named}


@cache
def stock(name: str) -> nn.Module:
    """The network without a classifier, on the meta device.

    Raises:
        BackboneError: timm has none of that name, or it has no pyramid.
    """
    network = skeleton(name, num_classes=0)
    stage_indices(network, name)
    return network


def shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of the network."""
    return {key: tuple(tensor.shape) for key, tensor in stock(name).state_dict().items()}


def first_convolution(name: str) -> str:
    """The name of its weight; "" where the architecture doesn't say."""
    found = getattr(stock(name), "pretrained_cfg", {}).get("first_conv")
    found = found[0] if isinstance(found, list | tuple) and found else found
    return f"{found}.weight" if found else ""


class Index:
    """The sketches that are there, and those that are still to be made."""

    def __init__(self) -> None:
        self._file = cache_folder() / f"networks-timm-{timm.__version__}.json"
        self._known: dict[str, Sketch | None] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):  # a torn one is made again
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            self._known = {name: _sketch(row) for name, row in kept.items()}

    def families(self, names: set[str]) -> Iterator[list[str]]:
        """The ResNets that everybody has, then timm's modules of networks, those first that speak of `names`.

        Args:
            names: Of tensors, whole.
        """
        yield list(RESNETS)
        words = {word for name in names for word in name.split(".") if not word.isdigit()}
        shares = {module: _share(module, words) for module in list_modules()}
        for module in sorted(shares, key=lambda module: (-shares[module], module)):
            yield timm.list_models(module=module)

    def sketches(self, family: list[str]) -> dict[str, Sketch]:
        """Of those networks of a family that have a pyramid; what is not known is made and kept."""
        new = [name for name in family if name not in self._known]
        with Display(Console(stderr=True, quiet=len(new) <= _QUIET)) as display:
            task = display.task("networks of timm, once", len(new))
            for name in new:
                self._known[name] = _made(name)
                task.advance()
        if new:
            self._keep()
        return {name: sketch for name in family if (sketch := self._known[name])}

    def _keep(self) -> None:
        rows = {name: sketch and [sorted(sketch.tensors), sorted(sketch.names)] for name, sketch in self._known.items()}
        with contextlib.suppress(OSError):  # a cache that can't be written costs seconds, not the import
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, [json.dumps(rows).encode()])


def _made(name: str) -> Sketch | None:
    try:
        network = skeleton(name, num_classes=0)
        stage_indices(network, name)
    except BackboneError:
        return None
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    shapes.pop(first_convolution(name), None)
    items, names = hashes(shapes)
    return Sketch(frozenset(sorted(items)[:_SKETCH]), frozenset(sorted(names)[:_SKETCH]))


def _sketch(row: list[list[int]] | None) -> Sketch | None:
    return None if row is None else Sketch(frozenset(row[0]), frozenset(row[1]))


def _share(module: str, words: set[str]) -> float:
    """How many of `words` the source of one of timm's modules holds."""
    source = inspect.getsource(sys.modules[f"timm.models.{module}"])
    return len(words & set(re.findall(r"[A-Za-z_]\w*", source))) / max(1, len(words))
