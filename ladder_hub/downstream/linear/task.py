"""`ladder-hub eval linear`: linear classifiers on frozen features of one stage or all."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from ladder_hub.data.contents import named_by_content
from ladder_hub.data.look import look_first
from ladder_hub.data.sources import Source
from ladder_hub.device import seed_everything
from ladder_hub.downstream.feature_shards import FeatureTable
from ladder_hub.downstream.finetune import Finetuned, finetune_on
from ladder_hub.downstream.finetune.task import Facts, Judge
from ladder_hub.downstream.frozen import open_frozen
from ladder_hub.downstream.labelled import EvalData, open_labelled
from ladder_hub.downstream.linear.data import CropMaker, RowMaker, held_back
from ladder_hub.downstream.linear.optim import build_optimizer, rate
from ladder_hub.downstream.linear.probe import FrozenProbe, Probe
from ladder_hub.downstream.linear.settings import DEFAULT, SAFE, LinearRecipe, read_recipe
from ladder_hub.downstream.metrics import entry, tops, wilson
from ladder_hub.downstream.subject import open_subject
from ladder_hub.progress import Display
from ladder_hub.runtime.distributed import World

_PASS = 256  # images a forward pass where no gradient is needed


def eval_linear(
    model: str,
    recipe: str = DEFAULT,
    overrides: Sequence[str] = (),
    *,
    resume: str | Path | None = None,
    console: Console | None = None,
) -> Finetuned[LinearRecipe] | None:
    """Train linear classifiers on frozen features, and measure their accuracy.

    Args:
        model: `random:resnet50`, `timm:NAME.tag`, or whatever `create_model` takes.
        recipe: A recipe's name (`sgd_100e`, `lars_90e`, `stages_gap`, `stages_mhead`, `cached_100e`) or the path of a
            TOML file.
        overrides: `key=value`: data.train, data.val, stage, cache, epochs, ...
        resume: The folder of an interrupted run, or `auto`: the one in `out`, where there is one.
        console: Where progress goes; None: standard error.

    Returns:
        The run, whose folder holds metrics.json and log.jsonl; None on all processes but the first.

    Raises:
        UserError: recipe, data or model can't be used; one line.
        RunError: the run failed or was interrupted; the message says how to go on.
    """
    shown = console or Console(file=sys.stderr)

    def build(keys: LinearRecipe, world: World, _: Callable[[str], None]) -> LinearTask:
        with Display(shown if world.is_first else Console(quiet=True)) as display:
            return LinearTask(keys, world, display)

    return finetune_on(model, "linear", read_recipe, build, recipe, overrides, resume=resume, safe=SAFE, console=shown)


class LinearTask:
    """What `finetune` runs. See `finetune.task.Task`."""

    name = "linear"

    def __init__(self, keys: LinearRecipe, world: World, display: Display) -> None:
        self._keys = keys
        subject = open_subject(keys.model, seed=keys.seed)
        asked = EvalData(train=keys.data.train, val=keys.data.val)
        self._train, self._val, self._classes = open_labelled(asked, subject.artifact)
        self._overlap = world.agreed(lambda: self._shared(display) if world.is_first else None)
        self._frozen = open_frozen(
            subject,
            world,
            cache=keys.cache,
            image_size=keys.image_size,
            crop_pct=keys.crop_pct,
            batch_size=_PASS,
            workers=keys.data.workers,
            pool=keys.pool,
        )
        self._held = held_back(len(self._train), keys.held_back, seed=keys.seed)
        self.network: nn.Module
        self.maker: RowMaker | CropMaker
        self.network, self.maker, self.count = self._kept(display) if keys.cache else self._augmented()
        self.workers = 0 if keys.cache else keys.data.workers
        self.max_bad = keys.data.max_bad
        self.steps = math.ceil(keys.epochs * self.count / keys.batch_size)
        self.facts = {
            "data.train": self._named(self._train)["content"],
            "data.val": self._named(self._val)["content"],
            "model": subject.weights,
        }

    def _named(self, source: Source) -> dict[str, Any]:
        return named_by_content(source, workers=self._keys.data.workers)

    def _shared(self, display: Display) -> int:
        return look_first(self._train, self._val, display.say, workers=self._keys.data.workers)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """A group for each learning rate."""
        return build_optimizer(_probe(network), self._keys.optim)

    def rate(self, step: int) -> float:
        """Set once an epoch, as mmselfsup does."""
        return rate(step * self._keys.batch_size // self.count, epochs=self._keys.epochs, keys=self._keys.optim)

    def evaluate(self, network: nn.Module, judge: Judge) -> list[Facts]:
        """The winner of each stage, on the validation images."""
        probe, keys = _probe(network), self._keys
        held = None if probe.rates == 1 else self._held_table(judge.display)
        asked = self._table(self._val, judge.display)
        if not judge.world.is_first:
            return []
        best = dict.fromkeys(keys.stages, 0)
        if held is not None:
            compared = self._ranks(probe, held, self._train, slice(0, probe.rates))
            best = {stage: int((ranks < 1).float().mean(0).argmax()) for stage, ranks in compared.items()}
        reported = self._ranks(probe, asked, self._val, slice(-probe.rates, None))
        entries = []
        for stage, ranks in reported.items():
            entries += self._entries(stage, ranks[:, best[stage]].numpy(), keys.optim.lr[best[stage]])
        return entries

    def _kept(self, display: Display) -> tuple[nn.Module, RowMaker, int]:
        self._train_table = self._table(self._train, display)
        self._table(self._val, display)  # what can go wrong with it goes wrong now
        assert self._train.labels is not None
        table, stages = self._train_table, self._keys.stages
        probe = self._new_probe({stage: table.blocks[stage][0].shape[1:] for stage in stages})
        return probe, RowMaker(table, stages, self._train.labels, self._held), len(table)

    def _augmented(self) -> tuple[nn.Module, CropMaker, int]:
        keys, extractor = self._keys, self._frozen.extractor
        backbone = self._frozen.subject.backbone
        none = extractor.no_rows(backbone, keys.stages, keys.pool)
        probe = self._new_probe({stage: part.shape[1:] for stage, part in none.features.items()})
        network = FrozenProbe(backbone, probe, pool=keys.pool, mean=extractor.mean, std=extractor.std)
        views = keys.views
        maker = CropMaker(
            self._train, self._held, extractor.size, views.crop_scale, views.crop_ratio, views.flip, keys.seed
        )
        return network, maker, len(self._train)

    def _new_probe(self, shapes: dict[str, Any]) -> Probe:
        seed_everything(self._keys.seed)
        rates = len(self._keys.optim.lr)
        return Probe(shapes, classes=self._classes, rates=rates, held_share=float(self._held.mean()))

    def _table(self, source: Source, display: Display) -> FeatureTable:
        return self._frozen.table(source, self._keys.stages, display)

    def _held_table(self, display: Display) -> FeatureTable:
        """Centre crops of the held-back images."""
        if not self._keys.cache:
            indices = np.flatnonzero(self._held)
            return self._frozen.table(self._train, self._keys.stages, display, indices=indices)
        table = self._train_table
        numbers = np.flatnonzero(self._held[table.indices])
        rows = {stage: [table.rows(stage, numbers).numpy()] for stage in self._keys.stages}
        return FeatureTable(rows, table.indices[numbers])

    def _ranks(self, probe: Probe, table: FeatureTable, source: Source, some: slice) -> dict[str, Tensor]:
        """{stage: int64 (N, R)}: how many classes some of the classifiers like better than the true one."""
        assert source.labels is not None
        device = self._frozen.world.device
        found: dict[str, list[Tensor]] = {stage: [] for stage in self._keys.stages}
        with torch.inference_mode():
            for start in range(0, len(table), _PASS):
                numbers = np.arange(start, min(start + _PASS, len(table)))
                features = {stage: table.rows(stage, numbers).to(device) for stage in found}
                labels = torch.from_numpy(source.labels[table.indices[numbers]]).to(device)
                for stage, logits in probe.logits(features).items():
                    chosen = logits[:, some]
                    true = chosen.gather(2, labels[:, None, None].expand(-1, chosen.shape[1], 1))
                    found[stage].append((chosen > true).sum(2).cpu())
        return {stage: torch.cat(parts) for stage, parts in found.items()}

    def _entries(self, stage: str, ranks: np.ndarray, lr: float) -> list[Facts]:
        facts: Facts = {
            "protocol": self._keys.published_protocol,
            "stage": stage,
            "weights": self._frozen.subject.weights,
            "train": self._named(self._train),
            "val": self._named(self._val),
            "overlap": self._overlap,
        }
        n = len(ranks)
        shares = {f"top{most}": float((ranks < most).mean()) for most in tops(self._classes)}
        return [entry(name, share, ci95=wilson(share, n), n=n, **facts) | {"lr": lr} for name, share in shares.items()]


def _probe(network: nn.Module) -> Probe:
    probe = network.probe if isinstance(network, FrozenProbe) else network
    assert isinstance(probe, Probe)
    return probe
