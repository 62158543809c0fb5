"""Weighted k nearest neighbours on frozen features: what a backbone is worth without training anything on it.

The protocol of DINO and mmselfsup: globally pooled map of a stage, unit vectors, cosine similarity s, the k most
similar training images vote for their class with weight exp(s / T). Exact, in blocks.
Shapes: N training images, Q queries, C channels, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ladder_hub.data.sources import Source, check_same_classes
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.metrics import accuracy_entry
from ladder_hub.errors import UserError

Facts = dict[str, Any]

_BLOCK = 2**27  # similarities in memory at once: 512 MiB of float32


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
        float32 (Q, K), relative to the weight of the nearest neighbour; 0 for a class without a vote.
    """
    votes = torch.zeros(len(queries), classes, device=bank.device)
    rows = max(1, _BLOCK // len(bank))
    for start in range(0, len(queries), rows):
        similarity, nearest = (queries[start : start + rows] @ bank.T).topk(min(k, len(bank)), dim=1)
        # Relative to the nearest neighbour the classes keep their order, and a small T neither over- nor underflows.
        weights = ((similarity.float() - similarity[:, :1].float()) / temperature).exp()
        votes[start : start + rows].scatter_add_(1, labels[nearest], weights)
    return votes


def check_labels(train: Source, val: Source) -> int:
    """How many classes the two share.

    Raises:
        UserError: one of them has no labels; the classes differ.
    """
    classes = 0
    for key, source in (("data.train", train), ("data.val", val)):
        if source.labels is None:
            raise UserError(
                f"{key}={source.spec} has no labels, which kNN needs: one folder a class, or .cls members in the shards"
            )
        classes = max(classes, 1 + int(source.labels.max()))
    check_same_classes(train, val)
    return classes


def evaluate_knn(
    backbone: nn.Module,
    train: Source,
    val: Source,
    extractor: Extractor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    stages: Sequence[str] = ("res5",),
    bank: int | None = None,
) -> list[Score]:
    """KNN accuracy of every stage in `stages` from a single pass over both sets.

    Args:
        backbone: from `build_backbone` or `create_model`, on the extractor's device.
        train: labelled images that vote.
        val: labelled images that are classified.
        extractor: how images become features.
        k: neighbours.
        temperature: T.
        stages: any of res2..res5.
        bank: at most so many of the training images vote, evenly spread over the source; None: all.

    Raises:
        UserError: a source without labels, or classes that differ.
    """
    classes = check_labels(train, val)
    some = None if bank is None or bank >= len(train) else np.linspace(0, len(train) - 1, bank).astype(np.int64)
    known, labels = extractor.read(backbone, train, stages, indices=some)
    asked, truth = extractor.read(backbone, val, stages)
    scores = []
    for stage in stages:
        votes = knn_scores(known[stage], labels, asked[stage], classes=classes, k=k, temperature=temperature)
        most, guess = votes.topk(min(5, classes), dim=1)
        hit = (guess == truth[:, None]) & (most > 0)  # a class without a vote is no guess
        top1, top5 = hit[:, 0].float().mean().item(), hit.any(1).float().mean().item()
        scores.append(Score(stage, top1, top5, len(truth)))
    return scores
