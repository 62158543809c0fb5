"""The optimiser and the schedules against formulas written down here."""

import math

import pytest
import torch
from torch import nn

from ladder_hub.training.optim import build_lars, build_schedule, target_momentum


def test_lars_is_byols() -> None:
    """(g + wd w) eta |w| / (|g| + wd |w|), through momentum; biases and norms: plain momentum.

    The denominator is mmselfsup's and timm's; DeepMind's is |g + wd w|, the same to 1e-6 at BYOL's weight decay.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    decay, eta, lr, m = 0.1, 0.02, 0.5, 0.9
    optimizer = build_lars(model, momentum=m, weight_decay=decay, trust_coefficient=eta)
    for group in optimizer.param_groups:
        group["lr"] = lr
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    buffers = {name: torch.zeros_like(p) for name, p in expected.items()}
    for step in range(3):
        for name, p in model.named_parameters():
            p.grad = torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
            update = p.grad.clone()
            if p.ndim > 1:
                norm = expected[name].norm()
                update = (p.grad + decay * expected[name]) * eta * norm / (p.grad.norm() + decay * norm + 1e-8)
            buffers[name] = m * buffers[name] + update
            expected[name] = expected[name] - lr * buffers[name]
        optimizer.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), expected[name], rtol=1e-6, atol=1e-9)


def test_lars_still_adapts_without_weight_decay() -> None:
    model = nn.Linear(4, 3, bias=False)
    optimizer = build_lars(model, momentum=0.0, weight_decay=0.0, trust_coefficient=1e-3)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    before = model.weight.detach().clone()
    model.weight.grad = 1000 * torch.ones_like(before)
    optimizer.step()
    assert (model.weight - before).norm().item() == pytest.approx(1e-3 * before.norm().item(), rel=1e-4)


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False))
    optimizer = build_lars(model, momentum=0.9, weight_decay=1e-6, trust_coefficient=1e-3)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (7, 0), (50, 49)])
def test_learning_rate(steps: int, warmup: int) -> None:
    optimizer = build_lars(nn.Linear(2, 2), momentum=0.9, weight_decay=1e-6, trust_coefficient=1e-3)
    schedule = build_schedule(optimizer, learning_rate=7.2, steps=steps, warmup_steps=warmup)
    for step in range(steps):
        schedule.step_update(step)
        if step < warmup:
            expected = 7.2 * step / warmup
        else:
            expected = 7.2 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected] * 2)


def test_target_momentum() -> None:
    assert target_momentum(0, steps=100, base=0.99) == pytest.approx(0.99)
    assert target_momentum(50, steps=100, base=0.99) == pytest.approx(0.995)
    assert target_momentum(100, steps=100, base=0.99) == 1
