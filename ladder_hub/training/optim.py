"""LARS as BYOL uses it, and the two schedules as functions of the optimiser step."""

import math

from timm.optim import Lars
from timm.scheduler import CosineLRScheduler
from torch import nn


def build_lars(model: nn.Module, *, momentum: float, weight_decay: float, trust_coefficient: float) -> Lars:
    """Timm's LARS over what is trainable; biases and norms get neither weight decay nor layer adaptation.

    Those are the parameters of one dimension or none; they follow plain SGD with momentum at the full learning
    rate, as in BYOL. `always_adapt` is set a group, since timm would take weight_decay = 0 as "do not adapt".
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay, "always_adapt": True},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0, "always_adapt": False},
    ]
    return Lars(groups, lr=0.0, momentum=momentum, trust_coeff=trust_coefficient)


def build_schedule(optimizer: Lars, *, learning_rate: float, steps: int, warmup_steps: int) -> CosineLRScheduler:
    """Timm's schedule: linear from 0 over `warmup_steps`, then a cosine to 0 at `steps`; set by `step_update(k)`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = learning_rate
    return CosineLRScheduler(
        optimizer,
        t_initial=steps - warmup_steps,
        warmup_t=warmup_steps,
        warmup_lr_init=0.0,
        warmup_prefix=True,
        t_in_epochs=False,
    )


def target_momentum(step: int, *, steps: int, base: float) -> float:
    """1 - (1 - base) (cos(pi k / K) + 1) / 2 for step k of K: from `base` to 1 (BYOL, Sec. 3.3)."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2
