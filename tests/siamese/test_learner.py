"""The learner against an independent BYOL, and what the theory asks of it."""

import copy

import pytest
import torch
from torch.nn import functional as F

from ladder_hub.backbone import build_backbone
from ladder_hub.siamese.learner import Learner
from ladder_hub.siamese.levels import LEVELS, Level
from ladder_hub.training.monitors import moments, spread
from ladder_hub.training.optim import build_lars

METHODS = list(LEVELS)


def build(method: str = "ladder_dense", levels=None) -> Learner:
    torch.manual_seed(0)
    return Learner(build_backbone("test_resnet"), levels or LEVELS[method], hidden=32, out=16, grid=7).train()


def views(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, count, 3, 64, 64, generator=torch.Generator().manual_seed(1)))


def total(learner: Learner) -> torch.Tensor:
    return learner.total(learner(*views()).losses)


def test_four_methods() -> None:
    assert len(METHODS) == 4


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_gets_a_gradient_and_the_target_none(method: str) -> None:
    learner = build(method)
    total(learner).backward()
    idle = [name for name, p in learner.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []
    assert all(p.grad is None and not p.requires_grad for p in learner.target.parameters())
    assert not any(name.startswith("target.") for name, p in learner.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("method", METHODS)
def test_heads_exist_for_the_levels_only(method: str) -> None:
    learner = build(method)
    wanted = {f"{level.stage}_{kind}" for level in LEVELS[method] for kind in level.heads}
    assert set(learner.online.projectors) == set(learner.predictors) == set(learner.target.projectors) == wanted


def test_byol_is_byol() -> None:
    """One rung equals a BYOL written down here, loss and gradients."""
    learner = build("byol")
    other = copy.deepcopy(learner)
    view1, view2 = views()
    total(learner).backward()

    def project(network, images):
        pooled = network.backbone.forward_features(images).mean((2, 3))
        for layer in list(network.projectors["res5_global"])[2:]:
            pooled = layer(pooled)
        return pooled

    def distance(q, z):
        return 2 - 2 * F.cosine_similarity(q, z.detach(), dim=-1)

    q1, q2 = (other.predictors["res5_global"].layers(project(other.online, view)) for view in (view1, view2))
    z1, z2 = (project(other.target, view) for view in (view1, view2))
    (distance(q1, z2) + distance(q2, z1)).mean().backward()
    for (name, ours), theirs in zip(learner.named_parameters(), other.parameters(), strict=True):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_total_is_the_weighted_sum() -> None:
    learner = build()
    losses = learner(*views()).losses
    expected = sum(level.weight * losses[level.name].item() for level in LEVELS["ladder_dense"])
    assert learner.total(losses).item() == pytest.approx(expected, rel=1e-6)
    assert all(0 <= loss.item() <= 8 for loss in losses.values())


def test_a_dense_level_averages_its_two_losses() -> None:
    """Both parts recomputed here from the modules' outputs."""
    learner = build(levels=(Level("res5", "dense"),))
    view1, view2 = views()
    output = learner(view1, view2)
    assert set(output.projections) == {"res5_global", "res5_dense"}
    o1, o2, t1, t2 = learner.online(view1), learner.online(view2), learner.target(view1), learner.target(view2)
    parts = {}
    for kind in ("global", "dense"):
        name = f"res5_{kind}"
        parts[kind] = 0.0
        for online, target in ((o1, t2), (o2, t1)):
            q, y, t = learner.predictors[name](online[name]), online[name], target[name]
            if kind == "dense":
                match = F.cosine_similarity(y[:, :, None], t[:, None], dim=-1).argmax(-1)
                t = torch.stack([row[index] for row, index in zip(t, match, strict=True)])
            parts[kind] += (2 - 2 * F.cosine_similarity(q, t, dim=-1)).mean().item()
    assert output.losses["res5.dense"].item() == pytest.approx((parts["global"] + parts["dense"]) / 2, rel=1e-4)
    assert parts["global"] != pytest.approx(parts["dense"], rel=1e-3)


def test_the_loss_is_symmetric_in_the_views() -> None:
    a, b = views()
    first, second = build()(a, b).losses, build()(b, a).losses
    for name, loss in first.items():
        torch.testing.assert_close(loss, second[name])


def test_the_target_is_a_moving_average_of_parameters_alone() -> None:
    learner = build()
    online = {name: p.clone() for name, p in learner.online.named_parameters()}
    with torch.no_grad():
        for p in learner.target.parameters():
            p.mul_(0.5).add_(0.1)
    before = {name: value.clone() for name, value in learner.target.state_dict().items()}
    learner.update_target(0.9)
    for name, value in learner.target.state_dict().items():
        expected = 0.9 * before[name] + 0.1 * online[name] if name in online else before[name]
        torch.testing.assert_close(value, expected)


def test_the_target_keeps_statistics_of_its_own_passes() -> None:
    learner = build()
    norm = learner.target.backbone.bn1
    before = norm.running_mean.clone()
    total(learner)
    assert norm.training
    assert not torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_network_is_a_fixed_point_and_is_reported(method: str) -> None:
    """Sec. 3.4: the constant solution has no gradient that leaves it; the monitors see it on every level."""
    learner = build(method)
    with torch.no_grad():
        for name, p in learner.named_parameters():
            if ".backbone." in name and p.ndim > 1:
                p.zero_()
            if ("projectors" in name or "predictors" in name) and name.endswith("bias"):
                p.normal_()
    optimizer = build_lars(learner, momentum=0.9, weight_decay=1e-6, trust_coefficient=1e-3)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    for _ in range(3):
        optimizer.zero_grad()
        total(learner).backward()
        optimizer.step()
        learner.update_target(0.9)
    projections = learner(*views()).projections
    assert len(projections) == sum(len(level.heads) for level in LEVELS[method])
    for projection in projections.values():
        assert spread(moments(projection)).collapsed
        assert spread(moments(projection)).std < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_random_network_is_not_reported(method: str) -> None:
    for name, projection in build(method)(*views(32)).projections.items():
        assert not spread(moments(projection)).collapsed, name


def test_another_pyramid_backbone() -> None:
    torch.manual_seed(0)
    learner = Learner(build_backbone("test_convnext"), LEVELS["ladder_dense"], hidden=8, out=4, grid=7)
    total(learner).backward()
    idle = [name for name, p in learner.online.named_parameters() if p.grad is None]
    assert [name for name in idle if not name.startswith("backbone.head.")] == []


@pytest.mark.parametrize(
    ("network", "levels", "frozen"),
    [
        ("convnext_atto", LEVELS["byol"], {"head.norm.weight", "head.norm.bias"}),
        ("test_resnet", LEVELS["byol"], set()),
        ("test_resnet", [Level("res2", "global")], "layer2."),
    ],
)
def test_what_no_level_reaches_is_frozen(network: str, levels, frozen) -> None:
    """Else several processes would wait for its gradient, and one would train it by weight decay alone."""
    learner = Learner(build_backbone(network), levels, hidden=8, out=8, grid=7).train()
    total(learner).backward()
    trained = {name: p.requires_grad for name, p in learner.online.backbone.named_parameters()}
    assert all((p.grad is not None) == p.requires_grad for p in learner.parameters())
    found = {name for name, is_trained in trained.items() if not is_trained}
    assert found == frozen if isinstance(frozen, set) else any(name.startswith(frozen) for name in found)
