"""One optimiser step: accumulation, precision, schedule."""

import copy

import pytest
import torch

from ladder_hub.data.loader import Batch
from ladder_hub.device import seed_everything
from ladder_hub.errors import RunError, UserError
from ladder_hub.recipe import load_recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.training.inputs import open_inputs, to_device, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.state import TrainState, build_learner

SMALL = ["model.backbone=test_resnet", "heads.hidden=16", "heads.out=8", "data.train=shapes:16", "data.image_size=32"]
SMALL += ["batch_size=8", "micro_batch=4", "data.workers=0", "device=cpu", "epochs=2", "optim.warmup_epochs=0"]
CPU = torch.device("cpu")
LAYOUT = Layout(processes=1, micro_batch=4, accumulation=2, batch_norm="ghost")


def build(*overrides: str) -> tuple[TrainState, list[Batch]]:
    recipe = load_recipe("tiny64_ladder_dense", [*SMALL, "precision=float32", *overrides])
    inputs = open_inputs(recipe)
    state = TrainState(recipe, build_learner(recipe), World(), LAYOUT, steps_per_epoch=2)
    return state, list(two_views(recipe, inputs.train, LAYOUT, World()).batches(0, samples=16))


def test_accumulated_gradients_are_the_mean_over_micro_batches() -> None:
    state, batches = build()
    learner = copy.deepcopy(state.learner)
    expected: dict[str, torch.Tensor] = {}
    losses = []
    for batch in batches[:2]:
        output = learner(*to_device(batch, CPU))
        learner.zero_grad()
        learner.total(output.losses).backward()
        losses.append(output.losses)
        for name, p in learner.named_parameters():
            if p.grad is not None:
                expected[name] = expected.get(name, 0) + p.grad / 2
    found: dict[str, torch.Tensor] = {}
    state.optimizer.step = lambda: found.update(
        {name: p.grad.clone() for name, p in state.learner.named_parameters() if p.grad is not None}
    )
    output = state.advance(batches[:2])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)
    for name, loss in output.losses.items():
        assert loss.item() == pytest.approx((losses[0][name] + losses[1][name]).item() / 2, rel=1e-5)


def test_a_bf16_step_is_near_the_float32_one() -> None:
    (plain, batches), (half, _) = build(), build("precision=bf16")
    first, second = plain.advance(batches[:2]), half.advance(batches[:2])
    for name, loss in first.losses.items():
        assert second.losses[name].dtype == torch.float32
        assert second.losses[name].item() == pytest.approx(loss.item(), rel=0.05)
    assert all(p.dtype == torch.float32 for p in half.learner.parameters())


def test_the_target_follows_after_the_optimiser() -> None:
    state, batches = build()
    before = {name: p.clone() for name, p in state.learner.target.named_parameters()}
    state.advance(batches[:2])
    assert state.momentum == 0.99
    for (name, target), online in zip(
        state.learner.target.named_parameters(), state.learner.online.parameters(), strict=True
    ):
        torch.testing.assert_close(target, 0.99 * before[name] + 0.01 * online.detach())
    state.advance(batches[2:])
    assert 0.99 < state.momentum < 1
    assert (state.step, state.samples, state.epoch) == (2, 16, 1)


def test_a_warm_up_that_leaves_no_step_is_refused() -> None:
    with pytest.raises(UserError, match=r"optim.warmup_epochs = 1.9 leaves none of the 4 steps for training"):
        build("optim.warmup_epochs=1.9")


def test_a_parameter_without_a_gradient_is_told() -> None:
    state, batches = build()
    state.learner.register_parameter("lost", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(RunError, match="lost gets no gradient from the levels of ladder_dense; try another network"):
        state.advance(batches[:2])


def test_dropout_is_a_function_of_the_place() -> None:
    """What a network draws in a step depends on seed, step and process, not on what was drawn before."""
    drawn = []
    for drawn_before in (0, 5):
        torch.rand(drawn_before)
        seed_everything(3, 7, 0)
        drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    seed_everything(3, 7, 1)
    assert not torch.equal(torch.rand(4), drawn[0])
