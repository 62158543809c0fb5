"""Memory followed on shapes alone, against what autograd really keeps and what the allocator really gives."""

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ladder_hub.backbone import build_backbone
from ladder_hub.siamese.learner import Learner
from ladder_hub.siamese.levels import LEVELS
from ladder_hub.training.devices import Device
from ladder_hub.training.layout import lay_out
from ladder_hub.training.memory import USABLE, Activations, Memory, fit, follow_activations
from ladder_hub.training.skeleton import shapes_of, views

WIDTHS = {"hidden": 128, "out": 64, "grid": 7}
BATCH, SIZE = 8, 64


def real() -> Learner:
    learner = Learner(build_backbone("test_resnet"), LEVELS["ladder_dense"], **WIDTHS)
    learner = learner.to(memory_format=torch.channels_last).train()
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    return learner


@cache
def followed(precision: str, batch: int = BATCH) -> Activations:
    shapes = shapes_of("test_resnet", LEVELS["ladder_dense"], **WIDTHS)
    return follow_activations(shapes, size=SIZE, micro_batch=batch, precision=precision)


def forward(learner: Learner, pair: tuple[Tensor, Tensor], precision: str) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        output = learner(*pair)
    return learner.total(output.losses)


def saved(learner: Learner, precision: str) -> int:
    """Bytes of all storages that autograd keeps, and of the views."""
    own = {t.untyped_storage()._cdata for t in (*learner.parameters(), *learner.buffers())}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    pair = views(BATCH, SIZE)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = forward(learner, pair, precision)
    for tensor in (*pair, loss):
        note(tensor)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_kept_is_what_autograd_keeps(precision: str) -> None:
    assert followed(precision).kept(BATCH) == pytest.approx(saved(real(), precision), rel=0.01)


def test_the_peak_is_the_allocators() -> None:
    learner = real()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        forward(learner, views(BATCH, SIZE), "float32").backward()
    alive = peak = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    found = followed("float32")
    assert found.kept(BATCH) + found.working(BATCH) == pytest.approx(peak, rel=0.02)


def test_activations_grow_linearly() -> None:
    """Followed at 16 images and asked for 8, against followed at 8."""
    assert followed("bf16", 16).kept(BATCH) == pytest.approx(followed("bf16").kept(BATCH), rel=1e-3)


def test_weights_by_hand() -> None:
    learner = Learner(build_backbone("test_resnet"), LEVELS["byol"], **WIDTHS)
    found = Memory.of(learner, Activations(0, 0, 0, 0), micro_batch=2, precision="float32")
    sizes = {name: t.numel() * t.element_size() for name, t in learner.state_dict().items()}
    target = sum(size for name, size in sizes.items() if name.startswith("target."))
    assert found.target == target
    assert found.weights == sum(sizes.values()) - target
    trained = 4 * sum(p.numel() for p in learner.parameters() if p.requires_grad)
    assert found.gradients == found.momentum == trained
    assert found.total == sum(sizes.values()) + 2 * trained


@pytest.mark.parametrize(
    ("gigabytes", "processes", "shared", "fits", "largest"),
    [
        (80, 8, False, True, 512),
        (20, 8, False, False, 128),
        (80, 8, True, False, 64),  # one memory for all eight
        (1, 1, False, False, 0),
    ],
)
def test_what_fits(gigabytes: int, processes: int, shared: bool, fits: bool, largest: int) -> None:
    """A gigabyte of weights and 0.1 an image, 0.02 of them while at work."""
    activations = Activations(0, 8e7, 0, 2e7)
    memory = Memory(int(1e9), 0, 0, 0, activations.kept(256), activations.working(256))
    layout = lay_out(batch_size=4096, micro_batch=256, batch_norm="auto", processes=processes)
    found = fit(memory, activations, device=Device("d", gigabytes * 1e9, shared=shared), layout=layout)
    assert found.fits is fits
    assert found.largest_micro_batch == largest
    if largest:
        assert 1e9 + 1e8 * largest <= USABLE * gigabytes * 1e9 / (processes if shared else 1)
