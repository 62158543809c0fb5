"""Linear classifiers: against scikit-learn, against one by one, and what must not be learned from."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from ladder_hub.backbone import build_backbone
from ladder_hub.downstream.feature_shards import FeatureTable
from ladder_hub.downstream.linear.data import RowMaker, held_back
from ladder_hub.downstream.linear.optim import build_optimizer, rate
from ladder_hub.downstream.linear.probe import FrozenProbe, Probe
from ladder_hub.downstream.linear.settings import LinearOptim, read_recipe
from ladder_hub.recipe_files import names

DECAY = 0.01


def data(count: int = 60, classes: int = 3, width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    x = torch.randn(count, width, generator=generator) + 1.5 * F.one_hot(labels, width).float()
    return x, labels


def keys(**changes) -> LinearOptim:
    return LinearOptim(**({"kind": "sgd", "lr": (0.5,), "momentum": 0.9, "weight_decay": DECAY} | changes))


def trained(probe: Probe, x: torch.Tensor, labels: torch.Tensor, held: torch.Tensor, steps: int, **changes) -> Probe:
    optimizer = build_optimizer(probe, keys(**changes))
    for _ in range(steps):
        optimizer.zero_grad()
        sum(probe({"res5": x}, labels, held).values()).backward()
        optimizer.step()
    return probe


def test_the_optimum_is_that_of_scikit_learn() -> None:
    """Cross-entropy with weight decay is convex: mean CE + decay / 2 |w|^2, in scikit-learn's terms C = 1 / (n decay).

    Its intercept is free and ours decays too, hence the column of ones.
    """
    x, labels = data()
    with_one = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    theirs = LogisticRegression(C=1 / (len(x) * DECAY), fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(with_one.double().numpy(), labels.numpy())
    torch.manual_seed(0)
    probe = Probe({"res5": (4,)}, classes=3, rates=1, held_share=0.1)
    trained(probe, x, labels, torch.zeros(60, dtype=torch.bool), steps=1500)
    with torch.no_grad():
        logits = probe.logits({"res5": x})["res5"][:, 0]
    expected = torch.from_numpy(theirs.decision_function(with_one.double().numpy()))
    # A constant added to all classes changes nothing: the L2 term sets it to 0 mean in both.
    torch.testing.assert_close(logits.double(), expected, atol=2e-3, rtol=1e-3)
    assert (logits.argmax(1).numpy() == theirs.predict(with_one.double().numpy())).all()


def test_many_at_once_are_what_each_is_alone() -> None:
    """Two learning rates, compared and reporting: four classifiers, each as plain SGD on its own images makes it."""
    x, labels = data()
    held = torch.from_numpy(held_back(60, 0.2, seed=0))
    torch.manual_seed(0)
    probe = Probe({"res5": (4,)}, classes=3, rates=2, held_share=0.2)
    start = probe.classifiers["res5"].weights[0].detach().clone()
    trained(probe, x, labels, held, steps=20, lr=(0.1, 0.5))
    for number, (lr, known) in enumerate([(0.1, ~held), (0.5, ~held), (0.1, held | ~held), (0.5, held | ~held)]):
        alone = nn.Linear(4, 3)
        with torch.no_grad():
            alone.weight.copy_(start)
            alone.bias.zero_()
        optimizer = torch.optim.SGD(alone.parameters(), lr, momentum=0.9, weight_decay=DECAY)
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(alone(x[known]), labels[known]).backward()
            optimizer.step()
        torch.testing.assert_close(probe.classifiers["res5"].weights[number], alone.weight, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(probe.classifiers["res5"].biases[number], alone.bias, atol=1e-5, rtol=1e-4)


def test_what_is_held_back_teaches_those_that_report_alone() -> None:
    x, labels = data()
    held = torch.from_numpy(held_back(60, 0.2, seed=0))
    probes = []
    for shift in (0, 1):
        torch.manual_seed(0)
        told = torch.where(held, (labels + shift) % 3, labels)
        probes.append(
            trained(Probe({"res5": (4,)}, classes=3, rates=2, held_share=0.2), x, told, held, 5, lr=(0.1, 0.5))
        )
    one, other = (probe.classifiers["res5"].weights for probe in probes)
    assert all(torch.equal(one[number], other[number]) for number in (0, 1))
    assert not any(torch.equal(one[number], other[number]) for number in (2, 3))


def test_one_learning_rate_needs_no_comparison() -> None:
    assert len(Probe({"res5": (4,)}, classes=3, rates=1, held_share=0.1).classifiers["res5"].weights) == 1


def test_stages_do_not_see_each_other() -> None:
    """Trained together, a stage ends as it does alone."""
    x, labels = data()
    held = torch.zeros(60, dtype=torch.bool)
    both = Probe({"res4": (4,), "res5": (4,)}, classes=3, rates=1, held_share=0.1)
    alone = Probe({"res5": (4,)}, classes=3, rates=1, held_share=0.1)
    alone.classifiers["res5"].load_state_dict(both.classifiers["res5"].state_dict())
    for probe, features in ((both, {"res4": 2 * x, "res5": x}), (alone, {"res5": x})):
        optimizer = build_optimizer(probe, keys())
        for _ in range(5):
            optimizer.zero_grad()
            sum(probe(features, labels, held).values()).backward()
            optimizer.step()
    torch.testing.assert_close(both.classifiers["res5"].weights[0], alone.classifiers["res5"].weights[0])


def test_maps_are_normalised_a_channel_without_weights() -> None:
    probe = Probe({"res2": (3, 2, 2)}, classes=2, rates=1, held_share=0.1).train()
    x = 5 + 3 * torch.randn(50, 3, 2, 2)
    probe({"res2": x}, torch.zeros(50, dtype=torch.int64), torch.zeros(50, dtype=torch.bool))
    assert [name for name, _ in probe.named_parameters() if name.startswith("norms")] == []
    torch.testing.assert_close(probe.norms["res2"].running_mean, 0.1 * x.mean((0, 2, 3)))
    assert probe.classifiers["res2"].weights[0].shape == (2, 12)


def test_lars_adapts_weights_and_not_biases() -> None:
    x, labels = data()
    torch.manual_seed(0)
    probe = Probe({"res5": (4,)}, classes=3, rates=1, held_share=0.1)
    before = {name: value.detach().clone() for name, value in probe.named_parameters()}
    sum(probe({"res5": x}, labels, torch.zeros(60, dtype=torch.bool)).values()).backward()
    gradients = {name: value.grad.clone() for name, value in probe.named_parameters()}
    build_optimizer(probe, keys(kind="lars", lr=(1.6,), weight_decay=0.0)).step()
    after = dict(probe.named_parameters())
    weight, bias = "classifiers.res5.weights.0", "classifiers.res5.biases.0"
    step = 1.6 * 1e-3 * before[weight].norm() / gradients[weight].norm()
    torch.testing.assert_close(after[weight], before[weight] - step * gradients[weight])
    torch.testing.assert_close(after[bias], before[bias] - 1.6 * gradients[bias])


def test_schedules() -> None:
    cosine = [rate(epoch, epochs=4, keys=keys()) for epoch in range(4)]
    assert cosine == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    falling = [rate(epoch, epochs=90, keys=keys(milestones=(30, 60))) for epoch in (0, 29, 30, 59, 60, 89)]
    assert falling == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_backbone_stays_as_it_is() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    probe = Probe({"res4": (192,), "res5": (96,)}, classes=3, rates=1, held_share=0.1)
    network = FrozenProbe(backbone, probe, pool="gap", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)).train()
    images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8)
    losses = network(images, torch.arange(6) % 3, torch.zeros(6, dtype=torch.bool))
    sum(losses.values()).backward()
    assert network.training
    assert network.probe.training
    assert not network.backbone.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert {name.split(".")[0] for name, value in network.named_parameters() if value.grad is not None} == {"probe"}


def test_rows_are_those_of_their_images() -> None:
    """Images 1 and 4 could not be decoded: a row's label is its image's."""
    images = np.array([0, 2, 3, 5])
    table = FeatureTable({"res5": [images[:, None].astype(np.float32)]}, images)
    maker = RowMaker(table, ("res5",), np.arange(6) * 10, np.arange(6) >= 3)
    (features, labels, held), bad = maker.make([(0, 3), (1, 0), (1, 2)])
    assert features["res5"].flatten().tolist() == [5, 0, 3]
    assert labels.tolist() == [50, 0, 30]
    assert held.tolist() == [True, False, True]
    assert bad == []


def test_what_is_held_back_follows_from_the_seed() -> None:
    assert held_back(1000, 0.1, seed=0).sum() == 100
    assert (held_back(1000, 0.1, seed=0) == held_back(1000, 0.1, seed=0)).all()
    assert (held_back(1000, 0.1, seed=0) != held_back(1000, 0.1, seed=1)).any()
    assert held_back(3, 0.1, seed=0).sum() == 1


def test_recipes_and_the_names_of_protocols() -> None:
    assert names("linear") == ["cached_100e", "lars_90e", "sgd_100e", "stages_gap", "stages_mhead"]
    assert {read_recipe(name).published_protocol for name in names("linear")} == {
        "linear:cached-sgd-coslr-100e",
        "linear:lars-coslr-90e",
        "linear:sgd-coslr-100e",
        "stages:gap",
        "stages:mhead",
    }
    changed = read_recipe("sgd_100e", ["cache=true", "stage=all", "seed=3", "data.train=x"])
    assert changed.published_protocol == "linear:sgd-coslr-100e, changed: cache=true"
    assert read_recipe("sgd_100e", ["optim.lr=[0.3]"]).published_protocol.endswith(", changed: optim.lr=[0.3]")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=[0.3, 0.1]", "optim.lr: the lowest first"),
        ("optim.lr=[]", "optim.lr"),
        ("held_back=1.0", "held_back"),
        ("views.crop_scale=[0.5, 0.1]", "views.crop_scale"),
        ("views.crop_scale=[0.5, 2.0]", "views.crop_scale: a crop can't exceed the image"),
        ("optim.kind=adam", "optim.kind"),
    ],
)
def test_odd_recipes_are_refused(override: str, message: str) -> None:
    from ladder_hub.errors import UserError

    with pytest.raises(UserError, match=message.replace("(", "\\(")):
        read_recipe("sgd_100e", [override])
