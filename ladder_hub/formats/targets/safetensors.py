"""A safetensors file alone, in full or half precision."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path
from ladder_hub.weights import save_canonical


def make(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """The network's tensors under timm's names; floating point ones in `dtype`, counters as they are."""
    checked_path(out, ".safetensors", "safetensors")
    dtype = getattr(torch, settings.dtype)
    tensors = {name: _cast(name, tensor, dtype) for name, tensor in model.tensors.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_canonical(tensors, path, {"architecture": model.architecture, "digest": model.digest})
        return Product(path.read_bytes(), notes=(f'safetensors.torch.load_file("{out}")  # names of timm',))


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    cast = tensor.to(dtype)
    if not cast.isfinite().all():
        raise FormatError(f"{name} has values that {dtype} can't hold; take dtype=bfloat16 or float32")
    return cast
