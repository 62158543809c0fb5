"""kNN against scikit-learn and against the definition."""

from statistics import NormalDist

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ladder_hub.backbone import build_backbone
from ladder_hub.data.sources import open_source
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.knn import evaluate_knn, knn_scores, protocol
from ladder_hub.downstream.metrics import wilson

K, T = 5, 0.07


def features(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    x = torch.nn.functional.one_hot(labels, 4).double() + torch.randn(count, 4, generator=generator).double()
    return torch.nn.functional.normalize(x, dim=1), labels


def test_against_scikit_learn() -> None:
    (bank, labels), (queries, _) = features(200, 0), features(1500, 1)  # more than one block of queries
    votes = knn_scores(bank.float(), labels, queries.float(), classes=4, k=K, temperature=T)
    theirs = KNeighborsClassifier(K, metric="cosine", weights=lambda distance: np.exp((1 - distance) / T))
    theirs.fit(bank, labels)
    expected = theirs.predict_proba(queries)
    np.testing.assert_allclose(votes / votes.sum(1, keepdim=True), expected, atol=1e-4)


def test_a_small_temperature_is_the_nearest_neighbour() -> None:
    (bank, labels), (queries, _) = features(200, 0), features(50, 1)
    votes = knn_scores(bank.float(), labels, queries.float(), classes=4, k=5, temperature=1e-3)
    assert torch.equal(votes.argmax(1), labels[(queries @ bank.T).argmax(1)])


def test_a_class_without_a_vote_is_no_guess() -> None:
    """With one neighbour there is one guess: top-5 is top-1, whatever order the other classes are in."""
    extractor = Extractor(64, 1.0, torch.device("cpu"), workers=0)
    train, val = open_source("shapes:64", split="train"), open_source("shapes:64", split="val")
    (score,) = evaluate_knn(build_backbone("test_resnet"), train, val, extractor, k=1)
    assert score.top5 == score.top1 < 1


def test_more_neighbours_than_images() -> None:
    bank, labels = features(3, 0)
    assert knn_scores(bank.float(), labels, bank.float(), classes=4, k=20, temperature=T).shape == (3, 4)


def test_wilson_interval() -> None:
    z = NormalDist().inv_cdf(0.975)
    for share, n in ((0.0, 10), (0.3, 50), (1.0, 10)):
        for bound in wilson(share, n):
            # The bounds are where the score test is just significant.
            assert abs(share - bound) == pytest.approx(z * (bound * (1 - bound) / n) ** 0.5, abs=1e-6)


def test_one_pass_reads_all_stages_and_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet").train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    val = open_source("shapes:24", split="val")
    seen: list[int] = []
    extractor = Extractor(64, 1.0, torch.device("cpu"), batch_size=10, workers=0, advance=seen.append)
    found, labels = extractor.read(backbone, val, ("res3", "res5"))
    assert set(found) == {"res3", "res5"}
    assert seen == [10, 10, 4]
    assert labels.tolist() == val.labels.tolist()
    torch.testing.assert_close(found["res5"].norm(dim=1), torch.ones(24))
    assert backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    images = torch.stack([val.image(i) for i in range(24)]) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.no_grad():
        expected = backbone.eval()((images - mean) / std)
    torch.testing.assert_close(found["res5"], torch.nn.functional.normalize(expected, dim=1), atol=1e-4, rtol=1e-3)


def test_the_training_set_recognises_itself_and_shuffled_labels_give_chance() -> None:
    backbone = build_backbone("test_resnet")
    train = open_source("shapes:200", split="train")
    extractor = Extractor(64, 1.0, torch.device("cpu"), workers=0)
    (own,) = evaluate_knn(backbone, train, train, extractor, k=1)
    assert (own.top1, own.n) == (1.0, 200)
    shuffled = open_source("shapes:200", split="train")
    shuffled.labels = np.random.default_rng(0).permutation(train.labels)
    (chance,) = evaluate_knn(backbone, shuffled, train, extractor, k=20)
    low, high = wilson(chance.top1, 200)
    assert low < 1 / len(train.class_names) < high


def test_names_of_protocols() -> None:
    assert protocol(20, 0.07) == "knn:k20-t0.07"
    assert protocol(200, 0.1) == "knn:k200-t0.1"
