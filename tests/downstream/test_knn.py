"""kNN against scikit-learn and against the definition."""

import io
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from sklearn.neighbors import KNeighborsClassifier

from ladder_hub.backbone import build_backbone
from ladder_hub.data.sources import open_source
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.knn import evaluate_knn, neighbours, protocol
from ladder_hub.downstream.metrics import wilson

K, T = 5, 0.07


def features(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    x = torch.nn.functional.one_hot(labels, 4).double() + torch.randn(count, 4, generator=generator).double()
    return torch.nn.functional.normalize(x, dim=1), labels


def test_against_scikit_learn() -> None:
    (bank, labels), (queries, _) = features(200, 0), features(1500, 1)  # more than one block of queries
    votes = neighbours(bank.float(), labels, queries.float(), k=2 * K).votes(classes=4, k=K, temperature=T)
    theirs = KNeighborsClassifier(K, metric="cosine", weights=lambda distance: np.exp((1 - distance) / T))
    theirs.fit(bank, labels)
    expected = theirs.predict_proba(queries)
    np.testing.assert_allclose(votes / votes.sum(1, keepdim=True), expected, atol=1e-4)


def test_a_small_temperature_is_the_nearest_neighbour() -> None:
    (bank, labels), (queries, _) = features(200, 0), features(50, 1)
    votes = neighbours(bank.float(), labels, queries.float(), k=5).votes(classes=4, k=5, temperature=1e-3)
    assert torch.equal(votes.argmax(1), labels[(queries @ bank.T).argmax(1)])


def test_a_class_without_a_vote_is_no_guess() -> None:
    """With one neighbour there is one guess: top-5 is top-1, whatever order the other classes are in."""
    extractor = Extractor(64, 1.0, torch.device("cpu"), workers=0)
    train, val = open_source("shapes:64", split="train"), open_source("shapes:64", split="val")
    (score,) = evaluate_knn(build_backbone("test_resnet"), train, val, extractor, k=1)
    assert score.top5 == score.top1 < 1


def test_more_neighbours_than_images() -> None:
    bank, labels = features(3, 0)
    near = neighbours(bank.float(), labels, bank.float(), k=20)
    assert near.labels.shape == (3, 3)
    assert near.votes(classes=4, k=20, temperature=T).shape == (3, 4)


def test_the_training_set_recognises_itself_and_shuffled_labels_give_chance() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet")
    train = open_source("shapes:200", split="train")
    extractor = Extractor(64, 1.0, torch.device("cpu"), workers=0)
    (own,) = evaluate_knn(backbone, train, train, extractor, k=1)
    assert (own.top1, own.n) == (1.0, 200)
    shuffled = open_source("shapes:200", split="train")
    shuffled.labels = np.random.default_rng(0).permutation(train.labels)
    (chance,) = evaluate_knn(backbone, shuffled, train, extractor, k=20)
    low, high = wilson(chance.top1, 200, z=4)
    assert low < 1 / len(train.class_names) < high


def test_a_figure_is_called_by_the_votes_that_there_were(tmp_path: Path, monkeypatch) -> None:
    """Of 16 images no 20 vote, and of the five guesses that top-5 has one is right by itself where classes are few."""
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path))
    said = io.StringIO()
    keys = ["data.train=shapes:16", "data.val=shapes:8", "k=[4,20,200]", "data.workers=0"]
    found = eval_knn("random:test_resnet", keys, console=Console(file=said, width=10_000))
    assert {entry["protocol"] for entry in found} == {"knn:k4-t0.07", "knn:k16-t0.07"}
    assert said.getvalue().count("16 vote and the figure is called knn:k16") == 2


def test_other_images_than_the_networks_own_are_part_of_the_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LADDER_HUB_CACHE", str(tmp_path))
    keys = ["data.train=shapes:16", "data.val=shapes:8", "k=4", "data.workers=0"]
    quiet = Console(quiet=True)
    names = [
        eval_knn("random:test_resnet", [*keys, *more], console=quiet)[0]["protocol"]
        for more in ([], ["image_size=224", "crop_pct=0.875"], ["image_size=64"], ["image_size=64", "crop_pct=1.0"])
    ]
    plain = "knn:k4-t0.07"
    assert names[:2] == [plain, plain]
    assert names[2:] == [f"{plain}, changed: image_size=64", f"{plain}, changed: image_size=64 crop_pct=1"]


def test_names_of_protocols() -> None:
    assert protocol(20, 0.07) == "knn:k20-t0.07"
    assert protocol(200, 0.1) == "knn:k200-t0.1"
