"""What every recipe of a fine-tuning run says, beside what is its verb's own."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from ladder_hub.settings import Section

Count = Annotated[int, Field(ge=1)]

SAFE_ON_RESUME = (
    "data.max_bad",
    "data.workers",
    "description",
    "device",
    "log.checkpoint",
    "log.every",
    "name",
    "out",
    "protocol",
    "timeout",
)
"""Keys that may change when a run goes on; a verb adds those that name its data, which are told by their digests."""


class LogKeys(Section):
    """`[log]`: how often to write."""

    every: Count
    """Optimiser steps between two lines of log.jsonl."""
    checkpoint: Count
    """Optimiser steps between two checkpoints."""


class FinetuneKeys(Section):
    """The keys that `finetune` itself reads; a verb's recipe adds its own."""

    name: str
    description: str
    protocol: str
    """Under which name the figures stand."""
    stands_for: Annotated[int, Field(ge=0)] = 0
    """Classes of the data that this name is known by; 0: whatever there are."""
    model: str = ""
    """What is judged: MODEL of the command."""
    batch_size: Count
    """Images an optimiser step, over all processes."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Of the passes; weights are float32."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    out: str = ""
    """The run's folder; empty: runs/<name>."""
    timeout: Count = 600
    """Seconds that a process waits for the others before it gives the run up."""
    log: LogKeys

    def protocol_on(self, name: str, *, classes: int) -> str:
        """The name of a protocol on data of so many classes: 34 are not the 19 of Cityscapes that it promises."""
        if classes == self.stands_for or not self.stands_for:
            return name
        return name + (" " if ", changed: " in name else ", changed: ") + f"data.classes={classes}"


def protocol_name(keys: FinetuneKeys, shipped: Iterable[FinetuneKeys], *, free: Sequence[str]) -> str:
    """The name of a protocol, with what was changed of it: `seg:fcn-d8-voc-20k, changed: steps=2000`.

    Args:
        keys: The recipe that was run.
        shipped: Recipes that define protocols.
        free: Keys that don't define one: names, places, the model.
    """
    ours = keys.dotted()
    for recipe in shipped:
        if recipe.protocol == keys.protocol:
            known = recipe.dotted()
            changed = [f"{k}={json.dumps(v)}" for k, v in ours.items() if k not in free and known[k] != v]
            return f"{keys.protocol}, changed: {' '.join(changed)}" if changed else keys.protocol
    return keys.protocol
