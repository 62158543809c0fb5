"""The processes that train together: who they are, and what they tell each other. The door to torch.distributed.

torchrun and srun start them; a run without either is a world of one, where all of this does nothing. Tensors of
the run travel by NCCL or gloo; what steers it (a wish to stop, a failure) by a gloo group of its own, which needs
no wait for a device.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ladder_hub.device import pick_device
from ladder_hub.errors import RunError, UserError
from ladder_hub.runtime.cluster import Place, find_place

Result = TypeVar("Result")

GO_ON, FAILED, STOP = range(3)
"""What a process has to say before a step; the highest of all is heeded."""


class ToldElsewhere(RunError):  # noqa: N818 - carries a status, tells nothing
    """Ends this process with the status of a failure that another process tells."""

    def __init__(self, exit_status: int) -> None:
        super().__init__("")
        self.exit_status = exit_status


class World:
    """This process among those that train together; alone where `size` is 1."""

    def __init__(self, place: Place | None = None, steering: Any = None) -> None:
        self.place = place or Place(rank=0, size=1, local_rank=0)
        self.rank, self.size = self.place.rank, self.place.size
        self.device = torch.device("cpu")
        self._steering = steering

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def use_device(self, name: str) -> None:
        """Compute on `name`, as in the recipe; of several processes, each on the GPU of its local rank.

        Raises:
            UserError: it is not here.
        """
        self.device = pick_device(name) if self.size == 1 else _own_device(name, self.place)

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a floating-point tensor over all processes, on its device."""
        return self.sum(tensor) / self.size

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, on its device."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def cat(self, tensor: Tensor) -> Tensor:
        """The rows of every process, in the order of the processes; their numbers may differ."""
        if self.size == 1:
            return tensor
        counts = self.gather(len(tensor))
        padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def gather(self, value: Result) -> list[Result]:
        """A small value of every process, in the order of the processes."""
        values: list[Any] = [value]
        if self.size > 1:
            values = [None] * self.size
            dist.all_gather_object(values, value, group=self._steering)
        return values

    def from_first(self, value: Result) -> Result:
        """The first process's value, on all."""
        values: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0, group=self._steering)
        return values[0]

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the first one's buffers (BatchNorm statistics that are not synchronised differ)."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def highest(self, state: int) -> int:
        """The highest of all processes' numbers; what every step asks, hence a single small exchange."""
        if self.size == 1:
            return state
        value = torch.tensor(state)
        dist.all_reduce(value, op=dist.ReduceOp.MAX, group=self._steering)
        return int(value)

    def heard(self, received: str | None, failure: UserError | RunError | None) -> str | None:
        """Asked before a step: all go on together, or all end together.

        A process that left alone would let the others wait.

        Args:
            received: the name of the signal that asks this process to stop.
            failure: why this process can't go on.

        Returns:
            The signal that some process received; None where all go on.

        Raises:
            UserError, RunError: what failed on one of them.
        """
        # A wish to stop comes first: a signal to the whole process group may have ended the loader's processes too.
        found = self.highest(STOP if received else FAILED if failure else GO_ON)
        if found == STOP:
            return next(name for name in self.gather(received) if name)
        if found == FAILED:
            self.agreed(lambda: _fail(failure))
        return None

    def wrapped(self, learner: nn.Module) -> nn.Module:
        """The learner with gradients averaged over processes; itself where there is one."""
        if self.size == 1:
            return learner
        ids = [self.device.index] if self.device.type == "cuda" else None
        # torch 2.13 renamed it.
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters
        buffers: Any = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
        return DistributedDataParallel(learner, device_ids=ids, gradient_as_bucket_view=True, **buffers)

    def agreed(self, action: Callable[[], Result]) -> Result:
        """`action()` on every process; where it fails on one it fails on all, and the first process says why."""
        result, failure = None, None
        try:
            result = action()
        except (UserError, RunError) as error:
            failure = error
        if self.size > 1:
            self._raise_first(failure)
        if failure:
            raise failure
        return result  # type: ignore[return-value]

    def raise_on_all(self, failure: UserError | RunError) -> NoReturn:
        """Raise what every process has found: the first tells it."""
        raise failure if self.is_first else ToldElsewhere(failure.exit_status)

    def _raise_first(self, failure: UserError | RunError | None) -> None:
        told = self.gather(failure and (str(failure), isinstance(failure, UserError), failure.exit_status))
        failed = [rank for rank, value in enumerate(told) if value]
        if not failed:
            return
        message, is_user, status = told[failed[0]]  # type: ignore[misc]
        if not self.is_first:
            raise ToldElsewhere(status)
        if failure:
            raise failure
        error = UserError if is_user else RunError
        raise error(f"process {failed[0]} of {self.size}: {message}")


@contextmanager
def open_world(*, timeout: int) -> Iterator[World]:
    """The processes that torchrun or srun started, met and connected; a world of one without them.

    Args:
        timeout: seconds to wait for each other, at the start and at every exchange.

    Raises:
        UserError: the variables that name the processes are not sound.
        RunError: the others did not come, or one was lost on the way.
    """
    place = find_place(os.environ)
    if place is None:
        yield World()
        return
    _meet(place, timeout)
    me = f"process {place.rank} of {place.size}"
    try:
        yield World(place, dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout)))
    except (UserError, RunError) as error:
        if place.rank == 0 or not str(error):
            raise
        raise (UserError if isinstance(error, UserError) else RunError)(f"{me}: {error}") from None
    except RuntimeError as error:
        if not is_lost_peer(error):
            raise
        reason = str(error).splitlines()[0]
        raise RunError(f"{me} lost another one ({reason[:200]}); see what that one said, then resume") from None
    finally:
        # Closes the connections, so that others that still wait for this process learn that it is gone.
        dist.destroy_process_group()


def _fail(failure: UserError | RunError | None) -> None:
    if failure:
        raise failure


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether an exchange failed since another process is gone or did not come in time."""
    text = str(error).lower()
    signs = ("connection closed by peer", "connection reset", "broken pipe", "timed out", "timeout", "socket")
    return isinstance(error, dist.DistError) or ("gloo" in text and any(sign in text for sign in signs))


def _meet(place: Place, timeout: int) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"tcp://{place.address}:{place.port}" if place.address else "env://"
    try:
        dist.init_process_group(
            backend, init_method=where, rank=place.rank, world_size=place.size, timeout=timedelta(seconds=timeout)
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        me = f"process {place.rank} of {place.size}"
        raise RunError(f"{me} did not meet the others within timeout = {timeout} s ({reason[:200]})") from None


def _own_device(name: str, place: Place) -> torch.device:
    if name == "auto" and not torch.cuda.is_available():
        name = "cpu"
    if name in ("auto", "cuda"):
        count = torch.cuda.device_count()
        if place.local_rank >= count > 1:
            raise UserError(f"process {place.rank} wants GPU {place.local_rank} of this machine, which has {count}")
        # Where Slurm gives each task one GPU (--gpus-per-task), a process sees no other.
        name = f"cuda:{place.local_rank if count > 1 else 0}"
    elif name.startswith("cuda:"):
        raise UserError(f"device={name}: with several processes each takes a GPU of its own; leave device=auto")
    device = pick_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
