"""What a verb brings to a fine-tuning run: a network that returns losses, its samples, and how it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from ladder_hub.data.workers import Maker
from ladder_hub.progress import Display
from ladder_hub.runtime.distributed import World

Facts = dict[str, Any]


class Batch(NamedTuple):
    """One process's share of a step."""

    inputs: tuple[Any, ...]
    """Arguments of the network: tensors, or lists, tuples and dicts of them; the loop moves them to the device."""
    bad: list[tuple[str, str]]
    """(key, reason) of images that could not be decoded and were replaced."""


@dataclass(frozen=True)
class Judge:
    """What an evaluation works with, after the last step."""

    world: World
    display: Display
    folder: Path
    """The run's: results and pictures go there, written by the first process alone."""
    precision: str
    """bf16 or float32."""


class Task(Protocol):
    """A supervised task. Everything random in it is a function of the seed and of what `maker` is asked for.

    Attributes:
        name: One word for the progress line.
        network: In train mode `network(*batch.inputs)` gives {name: scalar loss}, whose sum is minimised. Every
            parameter that requires a gradient must get one.
        count: Training samples.
        steps: Optimiser steps of the whole run.
        max_bad: Share of the samples whose images may fail to decode before the run stops.
        workers: Loader threads; -1: one a core, at most 8.
        facts: {key: value} of what the run may not change under way, data and weights by their digests.
    """

    name: str
    count: int
    steps: int
    max_bad: float
    workers: int

    @property
    def network(self) -> nn.Module:
        """At step 0, on the CPU; the loop moves it and trains it where it is."""
        ...

    @property
    def facts(self) -> Mapping[str, str]:
        """Digests that are the same when the run goes on."""
        ...

    @property
    def maker(self) -> Maker[Batch]:
        """Makes a batch for [(epoch, index), ...]; called by several threads at once.

        Augmentation draws from `data.chance.view_generator(seed=, epoch=, index=, view=0)`.
        """
        ...

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Parameter groups at their full learning rates; `network` is on its device by now."""
        ...

    def rate(self, step: int) -> float:
        """What every group's learning rate is multiplied by in step 0, 1, ..., steps - 1."""
        ...

    def evaluate(self, network: nn.Module, judge: Judge) -> list[Facts]:
        """Figures of the trained network, in eval mode, as `downstream.metrics.entry` makes them.

        Every process calls it, and may share the work through `judge.world`; the first one's return value counts.
        """
        ...
