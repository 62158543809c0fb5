"""The losses of the steps since the last look, kept on their device; and whether all are numbers."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ladder_hub.errors import RunError


class Losses:
    """Looking costs a wait for the device and the other processes: it is done at logging steps and checkpoints.

    Args:
        mean: of a tensor over all processes.
    """

    def __init__(self, *, mean: Callable[[Tensor], Tensor]) -> None:
        self._mean = mean
        self._unseen: list[tuple[int, Mapping[str, Tensor]]] = []

    def note(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """Keep a step's losses for the next look."""
        self._unseen.append((step, losses))

    def checked(self) -> dict[str, float]:
        """The losses of the step noted last, means over all processes.

        Raises:
            RunError: one of a step since the last look is no number; the first is named.
        """
        if not self._unseen:
            return {}
        names = list(self._unseen[-1][1])
        table = self._mean(torch.stack([torch.stack([losses[name] for name in names]) for _, losses in self._unseen]))
        broken = (~torch.isfinite(table)).nonzero().tolist()
        if broken:
            row, column = broken[0]
            raise RunError(f"the loss {names[column]} is no number at step {self._unseen[row][0]}")
        self._unseen = []
        return dict(zip(names, table[-1].tolist(), strict=True))


def check_weights(network: nn.Module, step: int) -> None:
    """A loss is computed before its step: what the last step broke shows in the weights alone.

    Raises:
        RunError: a weight is no number.
    """
    norms = torch.stack(torch._foreach_norm(list(network.parameters())))
    if not torch.isfinite(norms).all():
        raise RunError(f"a weight is no number after step {step}")
