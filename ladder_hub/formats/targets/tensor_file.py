"""Torch's own file of tensors, in memory."""

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def tensor_file(tensors: Mapping[str, Tensor], **tables: Any) -> bytes:
    """What `torch.save` writes of a table of tensors, contiguous and on the CPU.

    Args:
        tensors: The whole file; with `tables` the value of the key `state_dict`.
        tables: What stands beside it, plain values only.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    torch.save({**tables, "state_dict": plain} if tables else plain, buffer)
    return buffer.getvalue()
