"""What moves the classifiers: a parameter group for each learning rate, and the schedule."""

import math

import torch
from timm.optim import Lars

from ladder_hub.downstream.linear.probe import Probe
from ladder_hub.downstream.linear.settings import LinearOptim


def build_optimizer(probe: Probe, keys: LinearOptim) -> torch.optim.Optimizer:
    """SGD or LARS, with the classifiers of each learning rate in groups of their own.

    LARS adapts the weights and leaves the biases to plain SGD with momentum.
    """
    groups = []
    for number, lr in enumerate(keys.lr):
        for kind in ("weights", "biases"):
            lists = [getattr(classifiers, kind) for classifiers in probe.classifiers.values()]
            params = [some[place] for some in lists for place in range(number, len(some), probe.rates)]
            adapt = {"always_adapt": kind == "weights"} if keys.kind == "lars" else {}
            groups.append({"params": params, "lr": lr, **adapt})
    if keys.kind == "lars":
        return Lars(
            groups,
            momentum=keys.momentum,
            nesterov=keys.nesterov,
            weight_decay=keys.weight_decay,
            trust_coeff=keys.trust_coefficient,
        )
    return torch.optim.SGD(
        groups, momentum=keys.momentum, nesterov=keys.nesterov, weight_decay=keys.weight_decay, foreach=True
    )


def rate(epoch: int, *, epochs: int, keys: LinearOptim) -> float:
    """The share of the peak rate in an epoch: a tenth after each milestone; without any, a cosine to 0."""
    if keys.milestones:
        return 0.1 ** sum(epoch >= milestone for milestone in keys.milestones)
    return (1 + math.cos(math.pi * epoch / epochs)) / 2
