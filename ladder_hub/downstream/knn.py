"""Weighted k nearest neighbours on frozen features: what a backbone is worth without training anything on it.

The protocol of DINO and mmselfsup: globally pooled map of a stage, unit vectors, cosine similarity s, the k most
similar training images vote for their class with weight exp(s / T). Exact, in blocks.
Shapes: N training images, Q queries, C channels, K classes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import pyramid
from ladder_hub.data.loader import evaluation_batches
from ladder_hub.data.sources import Source, check_same_classes
from ladder_hub.downstream.metrics import accuracy_entry
from ladder_hub.errors import UserError

Facts = dict[str, Any]

_BLOCK = 1024  # queries compared at once


@dataclass(frozen=True)
class Score:
    """Accuracy of one stage on n queries."""

    stage: str
    top1: float
    """Share of queries whose class has the most votes, 0..1."""
    top5: float
    """Share of queries whose class is among the five with the most votes."""
    n: int

    def entries(
        self, *, protocol: str, weights: str, train: Facts, val: Facts, before: Mapping[str, float] | None = None
    ) -> list[Facts]:
        """As metrics.json keeps them; `before` holds the same figures of the network before its training."""
        return [
            accuracy_entry(
                metric,
                value,
                n=self.n,
                protocol=protocol,
                stage=self.stage,
                weights=weights,
                train=train,
                val=val,
                baseline=(before or {}).get(metric),
            )
            for metric, value in (("top1", self.top1), ("top5", self.top5))
        ]


def protocol(k: int, temperature: float) -> str:
    """The protocol's name in metrics and on cards: `knn:k20-t0.07`."""
    return f"knn:k{k}-t{temperature:g}"


@torch.inference_mode()
def knn_scores(bank: Tensor, labels: Tensor, queries: Tensor, *, classes: int, k: int, temperature: float) -> Tensor:
    """Votes for each class.

    Args:
        bank: float (N, C), unit vectors of the training images.
        labels: int64 (N,), in 0..classes - 1.
        queries: float (Q, C), unit vectors.
        classes: Number of classes K.
        k: Neighbours that vote; all N where there are fewer.
        temperature: T > 0; the weight of a vote is exp(s / T).

    Returns:
        float32 (Q, K).
    """
    votes = torch.zeros(len(queries), classes, device=bank.device)
    for start in range(0, len(queries), _BLOCK):
        similarity, nearest = (queries[start : start + _BLOCK] @ bank.T).topk(min(k, len(bank)), dim=1)
        # exp((s - 1) / T) orders the classes as exp(s / T) does, and can't overflow at a small T.
        weights = ((similarity.float() - 1) / temperature).exp()
        votes[start : start + _BLOCK].scatter_add_(1, labels[nearest], weights)
    return votes


def extract(
    backbone: nn.Module,
    source: Source,
    *,
    stages: Sequence[str],
    size: int,
    crop_pct: float,
    batch_size: int,
    workers: int,
    device: torch.device,
    indices: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, Tensor], Tensor]:
    """One pass over the images: unit vectors of every stage, float32 (N, C), and int64 labels (N,).

    The backbone is read in eval mode and left as it was found. Undecodable images are left out.
    `advance` is told the number of images of each batch.
    """
    features: dict[str, list[Tensor]] = {stage: [] for stage in stages}
    labels = []
    training = backbone.training
    backbone.eval()
    try:
        with torch.inference_mode():
            for images, classes, _bad in evaluation_batches(
                source, indices=indices, size=size, crop_pct=crop_pct, batch_size=batch_size, workers=workers
            ):
                images = images.to(device, memory_format=torch.channels_last)
                for stage, feature_map in pyramid(backbone, images, stages).items():
                    features[stage].append(F.normalize(feature_map.float().mean((2, 3)), dim=1))
                labels.append(classes)
                advance(len(images))
    finally:
        backbone.train(training)
    return {stage: torch.cat(parts) for stage, parts in features.items()}, torch.cat(labels).to(device)


def check_labels(train: Source, val: Source) -> int:
    """How many classes the two share.

    Raises:
        UserError: one of them has no labels; the classes differ.
    """
    for key, source in (("data.train", train), ("data.val", val)):
        if source.labels is None:
            raise UserError(
                f"{key}={source.spec} has no labels, which kNN needs: one folder a class, or .cls members in the shards"
            )
    check_same_classes(train, val)
    return 1 + int(max(train.labels.max(), val.labels.max()))


def evaluate_knn(
    backbone: nn.Module,
    train: Source,
    val: Source,
    *,
    k: int = 20,
    temperature: float = 0.07,
    stages: Sequence[str] = ("res5",),
    size: int,
    crop_pct: float,
    device: torch.device,
    batch_size: int = 256,
    workers: int = -1,
    bank: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Score]:
    """KNN accuracy of every stage in `stages` from a single pass over both sets.

    Args:
        backbone: from `build_backbone` or `create_model`, on `device`.
        train: labelled images that vote.
        val: labelled images that are classified.
        k: neighbours.
        temperature: T.
        stages: any of res2..res5.
        size: side of the input in pixels.
        crop_pct: share of the shorter side that the centre crop takes.
        device: where to compute.
        batch_size: images a forward pass.
        workers: loader processes.
        bank: at most so many of the training images vote, evenly spread over the source; None: all.
        advance: told the number of images of each batch.

    Raises:
        UserError: a source without labels, or classes that differ.
    """
    classes = check_labels(train, val)
    some = None if bank is None or bank >= len(train) else np.linspace(0, len(train) - 1, bank).astype(np.int64)
    keys = {"stages": stages, "size": size, "crop_pct": crop_pct, "batch_size": batch_size, "device": device}
    keys |= {"workers": workers, "advance": advance}
    known, labels = extract(backbone, train, indices=some, **keys)
    asked, truth = extract(backbone, val, **keys)
    scores = []
    for stage in stages:
        votes = knn_scores(known[stage], labels, asked[stage], classes=classes, k=k, temperature=temperature)
        hit = votes.topk(min(5, classes), dim=1).indices == truth[:, None]
        top1, top5 = hit[:, 0].float().mean().item(), hit.any(1).float().mean().item()
        scores.append(Score(stage, top1, top5, len(truth)))
    return scores
