"""Speed changes no step: the fast path, compiled or with activations computed again, against plain PyTorch."""

import copy
import functools
import math

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ladder_hub.backbone import build_backbone
from ladder_hub.data.loader import Batch
from ladder_hub.errors import UserError
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.distributed import World
from ladder_hub.siamese.learner import Learner
from ladder_hub.training.inputs import open_inputs, to_device, two_views
from ladder_hub.training.layout import Layout
from ladder_hub.training.passes import buffers_kept, checkpoint_activations
from ladder_hub.training.state import TrainState, build_learner

CPU = torch.device("cpu")
LAYOUT = Layout(processes=1, micro_batch=8, accumulation=1, batch_norm="ghost")
SMALL = ["model.backbone=test_resnet", "heads.hidden=32", "heads.out=8", "data.train=shapes:32", "data.image_size=64"]
SMALL += [
    "batch_size=8",
    "micro_batch=8",
    "data.workers=0",
    "device=cpu",
    "epochs=4",
    "optim.warmup_epochs=1",
    "precision=float32",
]
STEPS, AN_EPOCH = 10, 4


def recipe_of(*overrides: str) -> Recipe:
    return load_recipe("tiny64_ladder_dense", [*SMALL, *overrides])


def state_of(*keys: str, said: list[str] | None = None) -> TrainState:
    recipe = recipe_of(*keys)
    say = (lambda _: None) if said is None else said.append
    return TrainState(recipe, build_learner(recipe), World(), LAYOUT, steps_per_epoch=AN_EPOCH, say=say)


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    recipe = recipe_of()
    views = two_views(recipe, open_inputs(recipe).train, LAYOUT, World())
    return [batch for epoch in range(3) for batch in views.batches(epoch, samples=8 * AN_EPOCH)][:STEPS]


@pytest.fixture(scope="module")
def ordinary(batches: list[Batch]) -> tuple[TrainState, list[dict[str, float]]]:
    state = state_of()
    return state, trained(state, batches)


def trained(state: TrainState, batches: list[Batch]) -> list[dict[str, float]]:
    return [{name: loss.item() for name, loss in state.advance([batch]).losses.items()} for batch in batches]


def assert_same_state(found: nn.Module, expected: nn.Module, tolerance: float) -> None:
    for (name, ours), theirs in zip(found.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


class Plain:
    """Ten lines a formula: BYOL on every level, whole similarity, one parameter at a time, contiguous memory."""

    def __init__(self, recipe: Recipe, dtype: torch.dtype) -> None:
        self.recipe, self.dtype = recipe, dtype
        self.learner = build_learner(recipe).to(dtype).train()
        self.moments: dict[str, Tensor] = {}
        self.steps = recipe.epochs * AN_EPOCH

    def step(self, k: int, batch: Batch) -> dict[str, float]:
        learner = self.learner
        view1, view2 = (view.contiguous() for view in to_device(batch, CPU, self.dtype))
        online = [self.projected(learner.online, view) for view in (view1, view2)]
        target = [{n: z.detach() for n, z in self.projected(learner.target, v).items()} for v in (view1, view2)]
        losses = {}
        for level in learner.levels:
            parts = []
            for kind in level.heads:
                name = f"{level.stage}_{kind}"
                for y, z in zip(online, target[::-1], strict=True):
                    q, wanted = learner.predictors[name](y[name]), z[name]
                    if kind == "dense":
                        whole = torch.einsum("bnd,bmd->bnm", F.normalize(y[name], dim=-1), F.normalize(wanted, dim=-1))
                        match = whole.argmax(-1)
                        wanted = torch.stack([row[index] for row, index in zip(wanted, match, strict=True)])
                    parts.append((2 - 2 * F.cosine_similarity(q, wanted, dim=-1)).mean())
            losses[level.name] = sum(parts) / len(level.heads)
        sum(level.weight * losses[level.name] for level in learner.levels).backward()
        self.lars(k)
        base = self.recipe.target.base_momentum
        tau = 1 - (1 - base) * (math.cos(math.pi * k / self.steps) + 1) / 2
        with torch.no_grad():
            for theirs, ours in zip(learner.target.parameters(), learner.online.parameters(), strict=True):
                theirs.copy_(tau * theirs + (1 - tau) * ours)
        return {name: loss.item() for name, loss in losses.items()}

    def projected(self, network: nn.Module, images: Tensor) -> dict[str, Tensor]:
        maps = dict(zip(("res2", "res3", "res4", "res5"), self.maps(network.backbone, images), strict=True))
        return {name: head(maps[name.split("_")[0]]) for name, head in network.projectors.items()}

    def maps(self, net: nn.Module, x: Tensor) -> list[Tensor]:
        x = net.maxpool(net.act1(net.bn1(net.conv1(x))))
        return [x := stage(x) for stage in (net.layer1, net.layer2, net.layer3, net.layer4)]

    @torch.no_grad()
    def lars(self, k: int) -> None:
        optim, warm = self.recipe.optim, round(self.recipe.optim.warmup_epochs * AN_EPOCH)
        peak = self.recipe.learning_rate
        rate = peak * k / warm if k < warm else peak * (1 + math.cos(math.pi * (k - warm) / (self.steps - warm))) / 2
        for name, p in self.learner.named_parameters():
            if p.requires_grad:
                update = p.grad.clone()
                if p.ndim > 1 and p.norm() > 0 and p.grad.norm() > 0:
                    decay = optim.weight_decay
                    ratio = optim.trust_coefficient * p.norm() / (p.grad.norm() + decay * p.norm() + 1e-8)
                    update = (update + decay * p) * ratio
                self.moments[name] = optim.momentum * self.moments.get(name, 0) + update
                p -= rate * self.moments[name]
                p.grad = None


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float64", 1e-7)])
def test_the_fast_path_is_the_plain_one(batches, precision: str, tolerance: float) -> None:
    # At the recipe's own rate of 4 ten steps magnify any rounding a million times.
    state = state_of(f"precision={precision}", "optim.base_lr=0.05")
    plain = Plain(state.recipe, state.dtype)
    losses = trained(state, batches)
    for k, (batch, found) in enumerate(zip(batches, losses, strict=True)):
        assert found == pytest.approx(plain.step(k, batch), abs=tolerance), k
    assert_same_state(state.learner, plain.learner, tolerance)
    assert losses[0] != pytest.approx(losses[-1], abs=1e-3)  # ten steps that changed something


def test_computing_activations_again_changes_no_bit(batches, ordinary) -> None:
    state = state_of("checkpoint_activations=true")
    blocks = list(state.learner.online.backbone.layer1)
    passes: list[int] = []
    blocks[0].register_forward_pre_hook(lambda *_: passes.append(1))
    assert trained(state, batches) == ordinary[1]
    assert len(passes) == STEPS * 2 * 2  # two views, forward and again
    assert_same_state(state.learner, ordinary[0].learner, 0.0)


def test_a_network_without_checkpointing_is_refused() -> None:
    with pytest.raises(UserError, match="checkpoint_activations: timm has none for plainnet; leave it out"):
        checkpoint_activations(nn.Sequential(), "plainnet")


def test_buffers_are_put_back() -> None:
    norm = nn.BatchNorm1d(3).train()
    before = copy.deepcopy(norm.state_dict())
    with buffers_kept(norm):
        norm(torch.randn(4, 3))
        assert norm.num_batches_tracked == 1
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@pytest.fixture
def traced(monkeypatch) -> None:
    """torch.compile as far as its tracing goes: no C++ compiler is needed, and seconds instead of minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()


@pytest.mark.usefixtures("traced")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_the_same_step(batches, ordinary) -> None:
    said: list[str] = []
    state = state_of("compile=true", said=said)
    losses = trained(state, batches[:3])
    assert said == ["compiling the networks, which takes minutes on a CPU"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2  # the online and the target network, whole
    for found, expected in zip(losses, ordinary[1], strict=False):
        assert found == pytest.approx(expected, abs=1e-5)
    assert state.state_dict()["learner"].keys() == ordinary[0].state_dict()["learner"].keys()


def test_where_compiling_fails_the_run_goes_on_and_says_so_once(batches, ordinary, monkeypatch) -> None:
    def broken(function):
        def call(*_):
            raise RuntimeError("no C++ compiler here\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    said: list[str] = []
    state = state_of("compile=true", said=said)
    assert trained(state, batches) == ordinary[1]
    assert said[1:] == [
        "warning: compile=true failed, going on without it (RuntimeError: no C++ compiler here)",
    ]
    assert_same_state(state.learner, ordinary[0].learner, 0.0)


def test_running_out_of_memory_is_no_failure_to_compile(batches, monkeypatch) -> None:
    def greedy(function):
        def call(*_):
            raise torch.OutOfMemoryError("all of it")

        return call

    monkeypatch.setattr(torch, "compile", greedy)
    with pytest.raises(torch.OutOfMemoryError):
        state_of("compile=true").advance(batches[:1])


@pytest.mark.parametrize("name", ["resnet50", "convnext_atto", "regnety_008", "efficientnet_b0"])
def test_timm_checkpoints_the_networks_that_the_docs_name(name: str) -> None:
    with torch.device("meta"):
        backbone = timm.create_model(name)
    checkpoint_activations(backbone, name)


def test_the_target_runs_before_maps_are_held() -> None:
    learner = Learner(build_backbone("test_resnet"), recipe_of().ladder, hidden=8, out=4, grid=7)
    order: list[str] = []
    learner.online.register_forward_hook(lambda *_: order.append("online"))
    learner.target.register_forward_hook(lambda *_: order.append("target"))
    learner(*torch.randn(2, 4, 3, 32, 32))
    assert order == ["target", "target", "online", "online"]
