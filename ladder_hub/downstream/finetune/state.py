"""What a fine-tuning run changes: the network, the optimiser and the step; and one step of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ladder_hub.device import autocast, seed_everything
from ladder_hub.downstream.finetune.settings import FinetuneKeys
from ladder_hub.downstream.finetune.task import Batch, Task
from ladder_hub.errors import RunError, UserError
from ladder_hub.runtime.batch_norm import synchronised
from ladder_hub.runtime.distributed import World


class FinetuneState:
    """A task's network and what moves it. `step` is the number of steps taken.

    Every process of `world` has one, and all stay equal: gradients are averaged, and BatchNorm's statistics are
    those of the whole batch.

    Raises:
        UserError: the batch can't be shared by the processes.
    """

    def __init__(self, task: Task, keys: FinetuneKeys, world: World) -> None:
        self.task, self.keys, self.world = task, keys, world
        if keys.batch_size % world.size:
            near = max(1, round(keys.batch_size / world.size)) * world.size
            raise UserError(
                f"batch_size = {keys.batch_size} can't be shared by {world.size} processes; try batch_size={near}"
            )
        self.step = 0
        self.steps = task.steps
        network = synchronised(task.network, world.device) if world.size > 1 else task.network
        self.network = network.to(world.device).to(memory_format=torch.channels_last).train()
        self.optimizer = task.optimizer(self.network)
        self._full = [group["lr"] for group in self.optimizer.param_groups]
        self._connected = world.wrapped(self.network)
        self._checked = False

    @property
    def epoch(self) -> int:
        """Whole passes over the samples taken."""
        return self.step * self.keys.batch_size // self.task.count

    @property
    def learning_rate(self) -> float:
        """Of the first group, in the step taken last."""
        return self.optimizer.param_groups[0]["lr"]

    def advance(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step over this process's share of a batch.

        Returns:
            {name: loss}, detached, on the device, of this process's share.

        Raises:
            RunError: a parameter that should be trained gets no gradient.
        """
        for group, full in zip(self.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full * self.task.rate(self.step)
        seed_everything(self.keys.seed, self.step, self.world.rank)
        with autocast(self.world.device, self.keys.precision):
            losses: dict[str, Tensor] = self._connected(*moved(batch.inputs, self.world.device))
        torch.stack(list(losses.values())).sum().backward()
        self._check_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the coming steps depend on, beside the recipe and the data."""
        return {"step": self.step, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()` of the same recipe, on the CPU to the same bits."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _check_gradients(self) -> None:
        """Once, at the first step: a parameter outside the graph would stay as it was without a word."""
        if not self._checked:
            for name, parameter in self.network.named_parameters():
                if parameter.requires_grad and parameter.grad is None:
                    raise RunError(f"{name} gets no gradient from the losses of {self.keys.name}")
            self._checked = True


def moved(value: Any, device: torch.device) -> Any:
    """The same lists, tuples and dicts with their tensors on `device`."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list | tuple):
        return type(value)(moved(inner, device) for inner in value)
    if isinstance(value, dict):
        return {key: moved(inner, device) for key, inner in value.items()}
    return value
