"""Frozen features of one network for several evaluations: read once, kept, and read again from the disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import ladder_hub
from ladder_hub.data.contents import named_by_content
from ladder_hub.data.sources import Source
from ladder_hub.downstream.feature_shards import FeatureShards, FeatureTable, NotKeptError, Span
from ladder_hub.downstream.features import Extractor, Pool, Rows
from ladder_hub.downstream.subject import Subject
from ladder_hub.errors import UserError
from ladder_hub.progress import Display
from ladder_hub.runtime.distributed import World
from ladder_hub.runtime.signals import Interrupted, StopSignals


@dataclass(frozen=True)
class Frozen:
    """A network, how its images are prepared, and where its features are kept.

    Every process of `world` makes the same calls; each reads a part of the images.
    """

    subject: Subject
    extractor: Extractor
    world: World
    cache: bool
    """Keep the features, and use those that are kept."""
    pool: Pool = "gap"

    @property
    def changed(self) -> str:
        """What is prepared otherwise than the network's own configuration says: `image_size=64 crop_pct=1`."""
        cfg: Any = self.subject.backbone.pretrained_cfg
        own = {"image_size": cfg["input_size"][-1], "crop_pct": cfg["crop_pct"]}
        now = {"image_size": self.extractor.size, "crop_pct": self.extractor.crop_pct}
        return " ".join(f"{key}={value:g}" for key, value in now.items() if value != own[key])

    def table(
        self, source: Source, stages: Sequence[str], display: Display, *, indices: np.ndarray | None = None
    ) -> FeatureTable:
        """The features of a source, or of some of its images.

        Args:
            source: Where the images come from; undecodable ones are left out.
            stages: Any of res2..res5.
            display: Told how far it is.
            indices: int64, which of the images, without `cache` alone; None: all.

        Raises:
            UserError: no image could be decoded; the shards that another process has written are not seen here.
            Interrupted: asked to stop; what was read by then is kept.
        """
        if self.cache:
            assert indices is None
            kept = self._kept(source, stages, display)
            if kept is not None:
                return kept
        count = len(source) if indices is None else len(indices)
        task = display.task("features", count)
        reader = replace(
            self.extractor,
            advance=lambda images: task.advance(images * self.world.size),
            skip=display.left_out,
            share=(self.world.rank, self.world.size),
            join=self.world.cat,
        )
        features, rows_of = reader.read(self.subject.backbone, source, stages, indices=indices, pool=self.pool)
        task.close()
        return FeatureTable({stage: [rows.cpu().numpy()] for stage, rows in features.items()}, rows_of)

    def _kept(self, source: Source, stages: Sequence[str], display: Display) -> FeatureTable | None:
        """From the disk, once they are there; None where they can't be kept."""
        workers = self.extractor.workers
        content = self.world.agreed(
            lambda: named_by_content(source, workers=workers)["content"] if self.world.is_first else None
        )
        shards = FeatureShards(self._facts(self.world.from_first(content)), len(source))
        gaps = self.world.from_first({stage: shards.gaps(stage) for stage in stages})
        failures = self.world.gather(self.world.agreed(lambda: self._fill(shards, source, gaps, display)))
        if failure := next(filter(None, failures), None):
            display.say(f"features are not kept, but read now and again the next time: {failure}")
            return None
        self.world.agreed(lambda: self._check(shards, stages))
        table = shards.table(stages)
        if not len(table):
            raise UserError(f"{source.spec}: no image could be decoded")
        return table

    def _fill(self, shards: FeatureShards, source: Source, gaps: dict[str, list[Span]], display: Display) -> str:
        """Stages that lack the same images are read in one pass. Returns why they can't be kept, where they can't."""
        groups: dict[tuple[Span, ...], list[str]] = {}
        for stage, missing in gaps.items():
            groups.setdefault(tuple(missing), []).append(stage)
        with StopSignals() as stop:
            try:
                for spans, stages in groups.items():
                    for span in spans:
                        self._fill_span(shards, source, span, stages, display, stop)
            except NotKeptError as error:
                return str(error)
        return ""

    def _fill_span(
        self,
        shards: FeatureShards,
        source: Source,
        span: Span,
        stages: Sequence[str],
        display: Display,
        stop: StopSignals,
    ) -> None:
        backbone, size = self.subject.backbone, self.world.size
        own = np.array_split(np.arange(*span), size)[self.world.rank]
        if not len(own):
            return
        task = display.task("features", span[1] - span[0])
        reader = replace(self.extractor, advance=lambda images: task.advance(images * size), skip=display.left_out)
        batches = reader.batches(backbone, source, stages, indices=own, pool=self.pool)
        shards.write(int(own[0]), reader.no_rows(backbone, stages, self.pool), _until_stopped(batches, stop))
        task.close()

    def _check(self, shards: FeatureShards, stages: Sequence[str]) -> None:
        if any(shards.gaps(stage) for stage in stages):
            raise UserError(
                f"{shards.folder} lacks features that another process has written: let LADDER_HUB_CACHE name a folder "
                "that all machines see, or add cache=false"
            )

    def _facts(self, content: str | None) -> dict[str, Any]:
        extractor = self.extractor
        return {
            "version": ladder_hub.__version__,
            "weights": self.subject.weights,
            "architecture": self.subject.architecture,
            "options": self.subject.options,
            "images": content,
            "size": extractor.size,
            "crop_pct": extractor.crop_pct,
            "mean": list(extractor.mean),
            "std": list(extractor.std),
            "pool": self.pool,
            "dtype": str(next(self.subject.backbone.parameters()).dtype),
        }


def open_frozen(
    subject: Subject,
    world: World,
    *,
    cache: bool,
    image_size: int,
    crop_pct: float,
    batch_size: int,
    workers: int,
    pool: Pool = "gap",
) -> Frozen:
    """A subject on its device, its images prepared as its own `pretrained_cfg` says unless told otherwise.

    Args:
        subject: What is measured.
        world: The processes, with their device.
        cache: Keep the features.
        image_size: Side of the input in pixels; 0: the network's own.
        crop_pct: Share of the shorter side that the centre crop takes; 0: the network's own.
        batch_size: Images a forward pass.
        workers: Loader threads; -1: one a core, at most 8.
        pool: How a map becomes features.
    """
    subject.backbone.to(world.device).to(memory_format=torch.channels_last)
    cfg: Any = subject.backbone.pretrained_cfg
    extractor = Extractor(
        size=image_size or cfg["input_size"][-1],
        crop_pct=crop_pct or cfg["crop_pct"],
        device=world.device,
        batch_size=batch_size,
        workers=workers,
        mean=cfg["mean"],
        std=cfg["std"],
    )
    return Frozen(subject, extractor, world, cache, pool)


def _until_stopped(batches: Iterator[Rows], stop: StopSignals) -> Iterator[Rows]:
    for rows in batches:
        yield rows
        if stop.received:
            raise Interrupted(
                f"stopped by {stop.received} while features were read; they are kept: give the same command again"
            )
