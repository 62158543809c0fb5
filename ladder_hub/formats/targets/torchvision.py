"""For torchvision: the state dict of its ResNet of the same name, without `fc`."""

from pathlib import Path

import torch
from torch import nn

from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path, example_images
from ladder_hub.formats.targets.tensor_file import tensor_file


def make(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """A .pth whose outputs in `torchvision.models.NAME` equal the model's, bit for bit."""
    from torchvision.models import get_model

    checked_path(out, ".pth", "torchvision")
    model.resnet("torchvision")
    twin = get_model(model.architecture, weights=None).eval()
    twin.fc = nn.Identity()
    twin.load_state_dict(model.tensors)
    (images,) = example_images((2, 96, 64))
    with torch.no_grad():
        if not torch.equal(twin(images), model.network(images)):
            raise FormatError(
                f"torchvision's {model.architecture} gives other outputs than timm's; nothing was written"
            )
    return Product(
        tensor_file(model.tensors),
        notes=(
            f"model = torchvision.models.{model.architecture}()",
            "model.fc = torch.nn.Identity()",
            f'model.load_state_dict(torch.load("{out}", weights_only=True))',
        ),
    )
