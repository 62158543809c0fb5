"""Intersection over union against scikit-learn and torchmetrics."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from ladder_hub.downstream.metrics import wilson
from ladder_hub.downstream.segmentation.confusion import Tally, areas, class_iou, confusion, mean_iou, pixel_accuracy


def scene(seed: int, classes: int, *, used: int | None = None, size: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Random truth with some 255, and a prediction that is right in half of the pixels; only `used` classes occur."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, used or classes, size)
    guess = np.where(rng.random(size) < 0.5, truth, rng.integers(0, used or classes, size))
    truth[rng.random(size) < 0.2] = 255
    return torch.from_numpy(truth.astype(np.uint8)), torch.from_numpy(guess)


@given(seed=st.integers(0, 2**32), classes=st.integers(2, 9), used=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_against_scikit_learn(seed: int, classes: int, used: int) -> None:
    truth, guess = scene(seed, classes, used=min(used, classes))
    counted = truth != 255
    labels = list(range(classes))
    matrix = confusion(truth, guess, classes)
    assert (matrix.numpy() == confusion_matrix(truth[counted], guess[counted], labels=labels)).all()
    counts = areas(matrix).numpy()
    there = np.union1d(truth[counted], guess[counted]).tolist()
    expected = jaccard_score(truth[counted], guess[counted], labels=there, average=None)
    assert class_iou(counts)[there] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(np.delete(class_iou(counts), there)).all()
    assert mean_iou(counts) == pytest.approx(expected.mean(), abs=1e-12)
    assert pixel_accuracy(counts) == pytest.approx(float((truth == guess)[counted].float().mean()), abs=1e-6)


def test_against_torchmetrics() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classification = pytest.importorskip("torchmetrics.classification")
    truth, guess = scene(3, 6)
    theirs = classification.MulticlassJaccardIndex(6, average=None, ignore_index=255)(guess, truth.long())
    assert class_iou(areas(confusion(truth, guess, 6)).numpy()) == pytest.approx(theirs.numpy(), abs=1e-6)


def test_the_set_has_one_matrix_not_a_mean_over_images() -> None:
    images = [scene(seed, 4, size=50 * seed) for seed in range(1, 5)]
    matrices = [confusion(*image, 4) for image in images]
    together = torch.cat([truth for truth, _ in images]), torch.cat([guess for _, guess in images])
    tally = Tally(sum(matrices[1:], matrices[0]), torch.stack([areas(matrix) for matrix in matrices]))
    assert torch.equal(tally.matrix, confusion(*together, 4))
    assert (tally.total() == tally.by_image.sum(0).numpy()).all()
    single = [mean_iou(areas(matrix).numpy()) for matrix in matrices]
    assert mean_iou(tally.total()) != pytest.approx(np.mean(single), abs=1e-3)


def test_an_oracle_scores_everything_and_a_stranger_nothing() -> None:
    truth, _ = scene(1, 5)
    oracle = torch.where(truth == 255, 0, truth)
    counts = areas(confusion(truth, oracle, 5)).numpy()
    assert (mean_iou(counts), pixel_accuracy(counts)) == (1.0, 1.0)
    counts = areas(confusion(truth, (oracle + 1) % 5, 5)).numpy()
    assert (mean_iou(counts), pixel_accuracy(counts)) == (0.0, 0.0)


def test_nothing_but_ignored_pixels_is_no_figure() -> None:
    counts = areas(confusion(torch.full((9,), 255, dtype=torch.uint8), torch.zeros(9, dtype=torch.int64), 3)).numpy()
    assert np.isnan([mean_iou(counts), pixel_accuracy(counts)]).all()


def tally(images: int) -> Tally:
    matrices = [confusion(*scene(seed, 4), 4) for seed in range(images)]
    return Tally(torch.stack(matrices).sum(0), torch.stack([areas(matrix) for matrix in matrices]))


def test_intervals_are_of_resampled_images() -> None:
    few, many = tally(10), tally(160)
    intervals = few.intervals(seed=1)
    assert intervals == few.intervals(seed=1) != few.intervals(seed=2)
    # An independent bootstrap: pixels of the images drawn, counted anew.
    rng = np.random.default_rng(5)
    draws = [few.by_image[rng.integers(10, size=10)].sum(0).numpy() for _ in range(1000)]
    assert intervals["miou"] == pytest.approx(np.quantile([mean_iou(d) for d in draws], (0.025, 0.975)), abs=0.01)
    low, high = intervals["pixel_accuracy"]
    assert low < pixel_accuracy(few.total()) < high
    narrow = many.intervals()["miou"]
    assert narrow[1] - narrow[0] < 0.5 * (intervals["miou"][1] - intervals["miou"][0])


def test_an_oracle_on_a_few_images_is_not_certain() -> None:
    truth, _ = scene(1, 5)
    found = areas(confusion(truth, torch.where(truth == 255, 0, truth), 5))
    sure = Tally(torch.zeros(5, 5), torch.stack([found, found])).intervals()
    assert sure == {"miou": wilson(1.0, 2), "pixel_accuracy": wilson(1.0, 2)}
    assert sure["miou"][0] == pytest.approx(0.342, abs=1e-3)  # z = 1.96: n / (n + z^2)


def test_images_without_a_labelled_pixel_say_nothing_of_the_others() -> None:
    labelled, empty = areas(confusion(*scene(1, 4), 4)), torch.zeros(3, 4, dtype=torch.int64)
    together = Tally(torch.zeros(4, 4), torch.stack([labelled, empty, empty])).intervals()
    low, high = together["miou"]
    assert low < mean_iou(labelled.numpy()) < high
    assert low > 0
