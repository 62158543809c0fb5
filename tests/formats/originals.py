"""Networks as their own projects run them, with weights that no fresh network has."""

from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Every tensor different from a fresh one's; activations of moderate size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(100 + seed)
            elif name.endswith("running_var"):
                tensor.copy_(1 + torch.rand(tensor.shape, generator=generator))
            elif tensor.ndim == 1:
                tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
            else:
                tensor.mul_(1 + 0.1 * torch.randn(tensor.shape, generator=generator))
    return network.eval()


def torchvision_backbone(name: str = "resnet18", seed: int = 1) -> nn.Module:
    network = torchvision.models.get_model(name, weights=None)
    network.fc = nn.Identity()
    return randomised(network, seed)


class NormedConv(nn.Conv2d):
    """detectron2's Conv2d: a convolution that owns its norm."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, side, stride, side // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(super().forward(images))


class NormedBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut = NormedConv(inputs, outputs, 1, stride) if inputs != outputs else None
        self.conv1 = NormedConv(inputs, outputs, 3, stride)
        self.conv2 = NormedConv(outputs, outputs, 3)

    def forward(self, images: Tensor) -> Tensor:
        rest = images if self.shortcut is None else self.shortcut(images)
        return F.relu(self.conv2(F.relu(self.conv1(images))) + rest)


class DetectronResNet18(nn.Module):
    """detectron2's ResNet-18 as its `build_resnet_backbone` names it: stem.conv1, res2.0.conv1.norm, ...shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Module()
        self.stem.conv1 = NormedConv(3, 64, 7, 2)
        for number, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=2):
            stride = 1 if number == 2 else 2
            stage = nn.Sequential(NormedBlock(inputs, outputs, stride), NormedBlock(outputs, outputs, 1))
            self.add_module(f"res{number}", stage)

    def forward(self, images: Tensor) -> Tensor:
        found = F.max_pool2d(F.relu(self.stem.conv1(images)), 3, 2, 1)
        for number in range(2, 6):
            found = getattr(self, f"res{number}")(found)
        return found.mean((2, 3))


def haiku_resnet18(arrays: Mapping[str, Tensor], images: Tensor, part: str = "online") -> Tensor:
    """A ResNet-18 run on haiku's own arrays: NHWC names, HWIO convolutions; padded evenly, as ours is."""

    def conv(where: str, maps: Tensor, stride: int = 1) -> Tensor:
        kernel = arrays[f"{part}_params/res_net18/~/{where}/w"]
        return F.conv2d(maps, torch.einsum("hwio->oihw", kernel), stride=stride, padding=kernel.shape[0] // 2)

    def norm(where: str, maps: Tensor) -> Tensor:
        scale, offset = (
            arrays[f"{part}_params/res_net18/~/{where}/{leaf}"].reshape(-1, 1, 1) for leaf in ("scale", "offset")
        )
        mean, var = (
            arrays[f"{part}_state/res_net18/~/{where}/~/{leaf}/average"].reshape(-1, 1, 1)
            for leaf in ("mean_ema", "var_ema")
        )
        return (maps - mean) / torch.sqrt(var + 1e-5) * scale + offset

    maps = F.max_pool2d(F.relu(norm("initial_batchnorm", conv("initial_conv", images, 2))), 3, 2, 1)
    for group in range(4):
        for block in range(2):
            at = f"block_group_{group}/~/block_{block}/~"
            stride = 2 if group and not block else 1
            rest = norm(f"{at}/shortcut_batchnorm", conv(f"{at}/shortcut_conv", maps, stride)) if stride == 2 else maps
            inner = F.relu(norm(f"{at}/batchnorm_0", conv(f"{at}/conv_0", maps, stride)))
            maps = F.relu(norm(f"{at}/batchnorm_1", conv(f"{at}/conv_1", inner)) + rest)
    return maps.mean((2, 3))
