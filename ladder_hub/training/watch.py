"""What ends a run, or should: losses and weights that are no numbers, and levels that collapse."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ladder_hub.errors import RunError
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.monitors import Spread

_PATIENCE = 2  # logging steps in a row that a level must look collapsed before anyone is told


class Watch:
    """Looks at a learner's numbers.

    Args:
        learner: whose.
        low: for each head, the logging steps in a row that it looked collapsed.
        mean: of a tensor over all processes.
    """

    def __init__(self, learner: Learner, low: Mapping[str, int], *, mean: Callable[[Tensor], Tensor]) -> None:
        self.low = dict(low)
        self._mean = mean
        self._learner = learner
        self._unseen: list[tuple[int, Tensor]] = []

    def note(self, step: int, losses: Mapping[str, Tensor]) -> None:
        """Keep a step's losses, on their device, for the next `check_losses`."""
        self._unseen.append((step, torch.stack(list(losses.values()))))

    def check_losses(self) -> dict[str, Tensor]:
        """The level losses of the step noted last, means over all processes.

        Looking costs a wait for the device and the other processes, so it is done at logging steps and before a
        checkpoint.

        Raises:
            RunError: one of a step since the last look is no number; the first is named.
        """
        if not self._unseen:
            return {}
        steps, noted = zip(*self._unseen, strict=True)
        losses = self._mean(torch.stack(noted))
        broken = (~torch.isfinite(losses)).nonzero().tolist()
        if broken:
            row, column = broken[0]
            raise RunError(f"the loss of {self._learner.levels[column].name} is no number at step {steps[row]}")
        self._unseen.clear()
        return dict(zip([level.name for level in self._learner.levels], losses[-1], strict=True))

    def check_weights(self, step: int) -> None:
        """A loss is computed before its step: what the last step broke shows in the weights alone.

        Raises:
            RunError: a weight is no number.
        """
        norms = torch.stack(torch._foreach_norm(list(self._learner.parameters())))
        if not torch.isfinite(norms).all():
            raise RunError(f"a weight is no number after step {step}")

    def newly_collapsed(self, step: int, spreads: Mapping[str, Spread]) -> list[str]:
        """One line for each head that has by now looked collapsed long enough; each is told once."""
        lines = []
        for name, value in spreads.items():
            self.low[name] = self.low.get(name, 0) + 1 if value.collapsed else 0
            if self.low[name] == _PATIENCE:
                lines.append(
                    f"{name} has collapsed at step {step}: the standard deviation of its unit vectors is "
                    f"{value.std:.2f} of 1/sqrt(d), their effective rank {value.rank:.1f}"
                )
        return lines
