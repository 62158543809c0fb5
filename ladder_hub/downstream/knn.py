"""Weighted k nearest neighbours on frozen features: what a backbone is worth without training anything on it.

The protocol of DINO and mmselfsup: globally pooled map of a stage, unit vectors, cosine similarity s, the k most
similar training images vote for their class with weight exp(s / T). Exact, in blocks.
Shapes: N training images, Q queries, C channels, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.data.sources import Source, check_same_classes
from ladder_hub.documents import plain
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.metrics import Facts, entry, tops, wilson
from ladder_hub.errors import UserError

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
    k: int
    """Neighbours that voted: never more than there are training images."""
    classes: int

    def entries(
        self,
        *,
        temperature: float,
        changed: str = "",
        weights: str,
        train: Facts,
        val: Facts,
        before: Mapping[str, float] | None = None,
        overlap: int | None = None,
    ) -> list[Facts]:
        """As metrics.json keeps them; `before` holds the same figures of the network before its training."""
        shares = {"top1": self.top1, "top5": self.top5}
        return [
            entry(
                metric,
                shares[metric],
                ci95=wilson(shares[metric], self.n),
                n=self.n,
                protocol=protocol(self.k, temperature, changed),
                stage=self.stage,
                weights=weights,
                train=train,
                val=val,
                baseline=(before or {}).get(metric),
                overlap=overlap,
            )
            for metric in (f"top{most}" for most in tops(self.classes))
        ]


def protocol(k: int, temperature: float, changed: str = "") -> str:
    """The protocol's name in metrics and on cards: `knn:k20-t0.07`, and what was changed of it: `image_size=64`."""
    name = f"knn:k{k}-t{temperature:g}"
    return f"{name}, changed: {changed}" if changed else name


@dataclass(frozen=True)
class Neighbours:
    """The most similar training images of each query, the nearest first.

    Attributes:
        similarity: float (Q, k), cosines.
        labels: int64 (Q, k), their classes.
    """

    similarity: Tensor
    labels: Tensor

    def votes(self, *, classes: int, k: int, temperature: float) -> Tensor:
        """Votes for each class.

        Args:
            classes: Number of classes K.
            k: Neighbours that vote; all there are where there are fewer.
            temperature: T > 0; the weight of a vote is exp(s / T).

        Returns:
            float32 (Q, K), relative to the weight of the nearest neighbour; 0 for a class without a vote.
        """
        similarity, labels = self.similarity[:, :k].float(), self.labels[:, :k]
        # Relative to the nearest neighbour the classes keep their order, and a small T neither over- nor underflows.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        return torch.zeros(len(labels), classes, device=labels.device).scatter_add_(1, labels, weights)


@torch.inference_mode()
def neighbours(bank: Tensor, labels: Tensor, queries: Tensor, *, k: int) -> Neighbours:
    """The k nearest of the bank for each query; all N where there are fewer. Exact, in blocks of queries.

    Args:
        bank: float (N, C), unit vectors of the training images.
        labels: int64 (N,), their classes.
        queries: float (Q, C), unit vectors.
        k: Neighbours.
    """
    rows = max(1, _BLOCK // len(bank))
    found = [
        (queries[start : start + rows] @ bank.T).topk(min(k, len(bank)), dim=1)
        for start in range(0, len(queries), rows)
    ]
    return Neighbours(torch.cat([part.values for part in found]), labels[torch.cat([part.indices for part in found])])


def scores(near: Neighbours, truth: Tensor, *, stage: str, classes: int, k: int, temperature: float) -> Score:
    """Accuracy of the neighbours' votes.

    Args:
        near: At least k neighbours of each query, where there are so many.
        truth: int64 (Q,), the queries' classes.
        stage: Whose features these were.
        classes: Number of classes.
        k: Neighbours that vote.
        temperature: T.
    """
    most, guess = near.votes(classes=classes, k=k, temperature=temperature).topk(min(5, classes), dim=1)
    hit = (guess == truth[:, None]) & (most > 0)  # a class without a vote is no guess
    shares = hit[:, 0].float().mean().item(), hit.any(1).float().mean().item()
    return Score(stage, *shares, n=len(truth), k=min(k, near.labels.shape[1]), classes=classes)


def check_labels(train: Source, val: Source) -> int:
    """How many classes the two share.

    Raises:
        UserError: one of them has no labels; the classes differ.
    """
    classes = 0
    for key, source in (("data.train", train), ("data.val", val)):
        if source.labels is None:
            odd = getattr(source, "unlabelled", "")
            told = f"is without labels because {plain(odd)} has none" if odd else "has no labels"
            raise UserError(f"{key}={source.spec} {told}: they are one folder a class, or .cls members in the shards")
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
    assert train.labels is not None
    assert val.labels is not None
    known, voters = extractor.read(backbone, train, stages, indices=some)
    asked, queries = extractor.read(backbone, val, stages)
    labels = torch.from_numpy(train.labels[voters]).to(extractor.device)
    truth = torch.from_numpy(val.labels[queries]).to(extractor.device)
    found = []
    for stage in stages:
        near = neighbours(F.normalize(known[stage], dim=1), labels, F.normalize(asked[stage], dim=1), k=k)
        found.append(scores(near, truth, stage=stage, classes=classes, k=k, temperature=temperature))
    return found
