"""Figures: intervals against independent formulas, and what every entry tells."""

from datetime import date
from statistics import NormalDist

import numpy as np
import pytest

from ladder_hub.downstream.metrics import bootstrap, bootstrap_share, entry, tops, wilson

FACTS = {"protocol": "p", "stage": "res5", "weights": "ab", "train": {"digest": "t"}, "val": {"digest": "v"}}


def test_wilson_interval() -> None:
    z = NormalDist().inv_cdf(0.975)
    for share, n in ((0.0, 10), (0.3, 50), (1.0, 10)):
        for bound in wilson(share, n):
            # The bounds are where the score test is just significant.
            assert abs(share - bound) == pytest.approx(z * (bound * (1 - bound) / n) ** 0.5, abs=1e-6)


def test_bootstrap_of_a_share_is_near_the_binomial_interval() -> None:
    hits = np.arange(2000) < 600
    low, high = bootstrap(2000, lambda drawn: float(drawn @ hits) / 2000, draws=2000)
    half = 1.96 * (0.3 * 0.7 / 2000) ** 0.5
    assert low == pytest.approx(0.3 - half, abs=0.003)
    assert high == pytest.approx(0.3 + half, abs=0.003)


def test_bootstrap_is_seeded_and_draws_as_many_as_there_are() -> None:
    sums: set[int] = set()

    def first(drawn: np.ndarray) -> float:
        sums.add(int(drawn.sum()))
        return float(drawn[0])

    assert bootstrap(7, first, draws=50, seed=3) == bootstrap(7, first, draws=50, seed=3)
    assert bootstrap(7, first, draws=50, seed=3)[1] > 1
    assert sums == {7}
    assert bootstrap(5, lambda _: 0.25) == (0.25, 0.25)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_is_never_certain(share: float) -> None:
    assert bootstrap(20, lambda _: share) == (share, share)
    low, high = bootstrap_share(20, lambda _: share)
    assert (low, high) == wilson(share, 20)
    assert high - low == pytest.approx(0.161, abs=1e-3)


def test_top_five_of_five_is_no_figure() -> None:
    assert [tops(classes) for classes in (2, 5, 6, 1000)] == [(1,), (1,), (1, 5), (1, 5)]


def test_an_entry_tells_everything() -> None:
    found = entry("miou", 0.5, ci95=(0.4, 0.6), n=10, **FACTS)
    assert found["ci95"] == [0.4, 0.6]
    assert found["data"] == {"train": {"digest": "t"}, "val": {"digest": "v"}}
    assert (found["value"], found["n"], found["seeds"], found["baseline"]) == (0.5, 10, 1, None)
    assert date.fromisoformat(found["date"])
    assert set(found["versions"]) == {"ladder_hub", "torch", "torchvision", "timm"}
    assert entry("box_ap", 0.5, ci95=None, n=10, baseline=0.1, **FACTS)["ci95"] is None
