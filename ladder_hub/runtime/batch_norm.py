"""BatchNorm over all processes: torch's where it has it (CUDA), the same formula where it has not (CPU)."""

import math
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Net = TypeVar("Net", bound=nn.Module)


class _Sum(torch.autograd.Function):
    """The sum over all processes, of values and of gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _Synchronised(_BatchNorm):
    """The batch's statistics over all processes, by two differentiable sums; each has as many values as it has."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean_before, var_before, momentum = self.running_mean, self.running_var, self.momentum
        assert mean_before is not None
        assert var_before is not None
        assert momentum is not None
        assert self.num_batches_tracked is not None
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        count = self._count(x, axes)
        if not count:  # no process has any: torch's own gives back what is empty too, and learns nothing
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        mean = _Sum.apply(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            mean_before.lerp_(mean.to(mean_before.dtype), momentum)
            var_before.lerp_((variance * count / max(count - 1, 1)).to(var_before.dtype), momentum)
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (centred * scale.view(shape)).to(x.dtype)
        return (centred * (scale * self.weight).view(shape) + self.bias.view(shape)).to(x.dtype)

    def _count(self, x: Tensor, axes: list[int]) -> int:
        """Values of a channel over all processes."""
        count = torch.tensor(math.prod(x.shape[axis] for axis in axes))
        dist.all_reduce(count)
        return int(count)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


class _SynchronisedAct(_Synchronised):
    """The same for timm's norm with an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


def synchronised(network: Net, device: torch.device) -> Net:
    """Every BatchNorm of the network takes its statistics over all processes; state keys stay as they were."""
    if device.type == "cuda":
        return convert_sync_batchnorm(network)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            # Not torch's class for it: DistributedDataParallel refuses that one on a CPU.
            module.__class__ = _SynchronisedAct if isinstance(module, BatchNormAct2d) else _Synchronised
    return network
