"""How a pass is run, where that is not to change what it computes: compiled, or with activations computed twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from ladder_hub.device import autocast
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe
from ladder_hub.siamese.learner import Learner, Output


def forward_backward(
    learner: Learner, connected: nn.Module, views: tuple[Tensor, Tensor], recipe: Recipe, *, share: int = 1
) -> Output:
    """A pass: gradients of the total loss / `share` are added up.

    Args:
        learner: what learns.
        connected: what is called: the learner, or what joins it with those of other processes.
        views: two (B, 3, S, S) on the learner's device, normalised.
        recipe: its `precision` (a resolved one) and `checkpoint_activations`.
        share: how many passes make a step.
    """
    with autocast(views[0].device, recipe.precision):
        output: Output = connected(*views)
    # What is computed again would count twice in the running statistics.
    with buffers_kept(learner.online) if recipe.checkpoint_activations else nullcontext():
        (learner.total(output.losses) / share).backward()
    return output


def checkpoint_activations(backbone: nn.Module, name: str) -> None:
    """Keep only the maps between the blocks of timm's network `name`; the backward pass computes the rest again.

    Raises:
        UserError: timm can't do so with this network.
    """
    try:
        backbone.set_grad_checkpointing()  # type: ignore[operator]
    except (AttributeError, AssertionError):
        raise UserError(f"checkpoint_activations: timm has none for {name}; leave it out") from None


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """While open, passes may run that leave no trace: running statistics are put back afterwards."""
    saved = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in saved:
            buffer.copy_(before)


def compile_networks(learner: Learner, rehearse: Callable[[], object], say: Callable[[str], None]) -> bool:
    """Compile the online and the target network, and rehearse; where that fails, `say` why and go on without.

    Args:
        learner: whose networks; the state dict keeps its keys.
        rehearse: a pass forward and backward, since compilers fail when first used. It leaves no trace.
        say: told that it takes time, and of a failure, a line each.

    Returns:
        Whether they are compiled.
    """
    say("compiling the networks, which takes minutes on a CPU")
    networks = (learner.online, learner.target)
    for network in networks:
        network.forward = torch.compile(network.forward)  # type: ignore[method-assign]
    try:
        with buffers_kept(learner):
            rehearse()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler throws
        for network in networks:
            del network.forward
        reason = next(iter(str(error).splitlines()), "")
        say(f"warning: compile=true failed, going on without it ({type(error).__name__}: {reason[:200]})")
        return False
    finally:
        learner.zero_grad(set_to_none=True)
    return True


@contextmanager
def uncompiled(learner: Learner) -> Iterator[None]:
    """While open, networks that are compiled run as they were written."""
    networks = (learner.online, learner.target)
    compiled = [vars(network).pop("forward") for network in networks]
    try:
        yield
    finally:
        for network, forward in zip(networks, compiled, strict=True):
            network.forward = forward  # type: ignore[method-assign]
