"""What an export target gets and gives; the targets are in `targets/`, a file each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ladder_hub.backbone import skeleton
from ladder_hub.documents import plain
from ladder_hub.formats import FormatError
from ladder_hub.formats.resnets import RESNETS, ResNetFacts
from ladder_hub.settings import Section


class ExportSettings(Section):
    """What `export` takes beside MODEL and `to=`."""

    out: Annotated[str, Field(min_length=1)]
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of to=safetensors."""
    pickle: bool = False
    """For to=detectron2: its .pkl, for tools that read nothing else."""
    overwrite: bool = False


@dataclass(frozen=True)
class Exported:
    """The model that goes out: verified, whole, in eval mode on the CPU."""

    name: str
    """MODEL as it was typed."""
    architecture: str
    network: nn.Module
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The network's, under timm's names."""
        return dict(self.network.state_dict())

    def resnet(self, target: str) -> ResNetFacts:
        """What it is among the ResNets that other tools know.

        Raises:
            FormatError: it is none of them, or was built with options of its own.
        """
        if self.architecture not in RESNETS:
            raise FormatError(f"to={target} has no {self.architecture}; it takes {', '.join(RESNETS)}")
        stock = skeleton(self.architecture, num_classes=0).state_dict()
        if {name: tensor.shape for name, tensor in stock.items()} != {n: t.shape for n, t in self.tensors.items()}:
            raise FormatError(f"{plain(self.name)} is no stock {self.architecture}; to={target} takes no other")
        return RESNETS[self.architecture]

    def pixels(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the channels red, green, blue in 0 to 255, as configs write them.

        Raises:
            FormatError: the model does not say.
        """
        if not (self.mean and self.std):
            raise FormatError(f"{plain(self.name)}: its config.json gives no mean and std, which the config needs")
        return [round(255 * number, 3) for number in self.mean], [round(255 * number, 3) for number in self.std]

    def comment(self) -> str:
        """Where a config fragment comes from, in one line."""
        return f"{plain(self.name)} ({self.architecture}, tensors {self.digest[:16]}), exported by ladder-hub"


@dataclass(frozen=True)
class Product:
    """The bytes of one export; nothing is written yet."""

    data: bytes
    beside: dict[str, str] = field(default_factory=dict)
    """{suffix: text} of files with the same name: `.yaml`, `.py`."""
    notes: tuple[str, ...] = ()
    """What to know, or type next."""


def checked_path(out: Path, suffix: str, target: str) -> Path:
    """`out`, whose suffix readers of that format go by.

    Raises:
        FormatError: it has another.
    """
    if out.suffix != suffix:
        raise FormatError(f"out={out}: a file for to={target} ends in {suffix}")
    return out


def example_images(*sizes: tuple[int, int, int]) -> list[Tensor]:
    """Seeded images (B, 3, H, W) on which a copy is compared with the original; `sizes` are (B, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 3, height, width, generator=generator) for batch, height, width in sizes]
