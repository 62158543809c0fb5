"""What a run changes while it trains: the learner, the optimiser, the schedule and the step; and one step of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ladder_hub.artifact.reading import load_heads
from ladder_hub.backbone import build_backbone
from ladder_hub.data.loader import Batch
from ladder_hub.device import keep_freed_memory, seed_everything
from ladder_hub.errors import RunError, UserError
from ladder_hub.models import create_model, resolve
from ladder_hub.recipe import Recipe
from ladder_hub.runtime.batch_norm import synchronised
from ladder_hub.runtime.distributed import World
from ladder_hub.siamese.learner import Learner, Output
from ladder_hub.training.layout import Layout
from ladder_hub.training.length import warmup_steps
from ladder_hub.training.optim import build_lars, build_schedule, target_momentum
from ladder_hub.training.passes import checkpoint_activations, compile_networks, forward_backward
from ladder_hub.training.prefetch import Prefetch, Views


class TrainState:
    """A learner and what moves it, `steps` optimiser steps long. `step` is the number of steps taken.

    Every process of `world` has one, and all stay equal: gradients are averaged, and BatchNorm's statistics are
    shared where `layout` says so. `say` is told what compiling comes to.
    """

    def __init__(
        self,
        recipe: Recipe,
        learner: Learner,
        world: World,
        layout: Layout,
        *,
        steps_per_epoch: int,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.recipe = recipe
        self.layout = layout
        self.device = world.device
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.steps_per_epoch = steps_per_epoch
        self.steps = recipe.epochs * steps_per_epoch
        self.step = 0
        if world.device.type == "cpu":
            keep_freed_memory()
        if layout.batch_norm == "sync" and world.size > 1:
            learner = synchronised(learner, world.device)
        self.learner = learner.to(world.device, self.dtype).to(memory_format=torch.channels_last).train()
        keys = recipe.optim
        self.optimizer = build_lars(
            self.learner,
            momentum=keys.momentum,
            weight_decay=keys.weight_decay,
            trust_coefficient=keys.trust_coefficient,
        )
        self._rank = world.rank
        self._connected = world.wrapped(self.learner)
        self._prefetch = Prefetch(world.device, self.dtype)
        self._say = say
        self._begun = False
        self.schedule = build_schedule(
            self.optimizer,
            learning_rate=recipe.learning_rate,
            steps=self.steps,
            warmup_steps=warmup_steps(recipe, steps_per_epoch),
        )
        self.momentum = recipe.target.base_momentum
        """Of the target, in the step taken last."""

    @property
    def epoch(self) -> int:
        """Whole epochs taken."""
        return self.step // self.steps_per_epoch

    @property
    def samples(self) -> int:
        """Images seen, each in two views."""
        return self.step * self.recipe.batch_size

    @property
    def learning_rate(self) -> float:
        """Of the step taken last."""
        return self.optimizer.param_groups[0]["lr"]

    def advance(self, micro_batches: Sequence[Batch]) -> Output:
        """One optimiser step over the micro-batches of a batch, this process's share of it.

        Returns:
            The level losses, means over the micro-batches, still on the device; the last one's projections.

        Raises:
            RunError: a parameter that should be trained gets no gradient.
        """
        if self.recipe.compile and not self._begun:
            self._compile(micro_batches[0])
        self.schedule.step_update(self.step)
        seed_everything(self.recipe.seed, self.step, self._rank)
        sums: dict[str, Tensor] = {}
        for number, views in enumerate(self._prefetch(micro_batches), start=1):
            with self._gradients_kept(number < len(micro_batches)):
                output = self._pass(self._connected, views, share=len(micro_batches))
            for name, loss in output.losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / len(micro_batches)
        if not self._begun:
            self._check_gradients()
        self._begun = True
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.momentum = target_momentum(self.step, steps=self.steps, base=self.recipe.target.base_momentum)
        self.learner.update_target(self.momentum)
        self.step += 1
        return Output(sums, output.projections)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the coming steps depend on, beside the recipe."""
        return {
            "step": self.step,
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of the same recipe, to the same bits."""
        self.step = state["step"]
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])

    def heads(self) -> dict[str, Tensor]:
        """Projectors, predictors and target: what the published backbone lacks for training to go on."""
        return _all_but_backbone(self.learner)

    def _pass(self, learner: nn.Module, views: Views, *, share: int = 1) -> Output:
        return forward_backward(self.learner, learner, views, self.recipe, share=share)

    def _compile(self, batch: Batch) -> None:
        (views,) = self._prefetch([batch])
        compile_networks(self.learner, lambda: self._pass(self.learner, views), self._say)

    def _gradients_kept(self, kept: bool) -> AbstractContextManager[None]:
        """While accumulating, processes average their gradients once, with the last micro-batch."""
        connected: Any = self._connected
        return connected.no_sync() if kept and connected is not self.learner else nullcontext()

    def _check_gradients(self) -> None:
        """At the first step: a parameter outside the graph would stay at random without a word."""
        for name, parameter in self.learner.named_parameters():
            if parameter.requires_grad and parameter.grad is None:
                raise RunError(f"{name} gets no gradient from the levels of {self.recipe.method}; try another network")


def build_learner(recipe: Recipe, *, say: Callable[[str], None] = lambda _: None) -> Learner:
    """The network of a recipe at step 0: random by its seed, or from `init`; `say` is told what came from there.

    Raises:
        UserError: `init` can't be loaded, or is another architecture; or `checkpoint_activations` is not for this one.
    """
    seed_everything(recipe.seed)
    backbone = build_backbone(recipe.model.backbone)
    if recipe.init:
        _load_backbone(backbone, recipe)
    keys = recipe.heads
    learner = Learner(backbone, recipe.ladder, hidden=keys.hidden, out=keys.out, grid=keys.grid)
    if recipe.init:
        heads = "heads and target" if _load_heads(learner, recipe.init) else "heads start at random"
        say(f"init={recipe.init}: backbone, {heads}")
    if recipe.checkpoint_activations:
        checkpoint_activations(backbone, recipe.model.backbone)
    return learner


def _load_backbone(backbone: nn.Module, recipe: Recipe) -> None:
    source: Any = create_model(recipe.init, pretrained=True)
    found = source.load_receipt.architecture
    if found != recipe.model.backbone:
        raise UserError(f"init={recipe.init} is a {found}, model.backbone is {recipe.model.backbone}; make them equal")
    backbone.load_state_dict(source.state_dict())


def _load_heads(learner: Learner, init: str) -> bool:
    """Heads of the same ladder go on where they were; others start at random, the target as the online copy."""
    saved, ours = load_heads(resolve(init)), _all_but_backbone(learner)
    if saved is None or {name: t.shape for name, t in saved.items()} != {name: t.shape for name, t in ours.items()}:
        return False
    learner.load_state_dict(saved, strict=False)
    return True


def _all_but_backbone(learner: Learner) -> dict[str, Tensor]:
    return {k: v for k, v in learner.state_dict().items() if not k.startswith("online.backbone.")}
