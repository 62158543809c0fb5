"""How long is a training step, and what memory does it take? `python benchmarks/step.py [--help]`.

Each contender has a process of its own (its allocator, its peak of memory), and they take turns: a step of the first,
of the second, ..., again. Ours are whole optimiser steps of `TrainState` with the shipped recipes' heads, on views that
need no augmentation; lightly's is the step of its BYOL example with ResNet-50 and BYOL's heads. `--shares` tells where
the time of our step goes, augmentation included.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from report import keep, steps, table

METHODS = ("byol", "ladder_byol", "ladder_dense")


def our_state(method: str, batch: int, keys: list[str]) -> Any:
    """A `TrainState` of the shipped recipe."""
    import torch

    from ladder_hub.device import pick_precision
    from ladder_hub.recipe import load_recipe
    from ladder_hub.runtime.distributed import World
    from ladder_hub.training.layout import Layout
    from ladder_hub.training.state import TrainState, build_learner

    world = World()
    recipe = load_recipe(f"{method}_200e", [f"batch_size={batch}", f"micro_batch={batch}", "data.train=none", *keys])
    world.use_device(recipe.device)
    recipe = recipe.model_copy(update={"precision": pick_precision(recipe.precision, world.device)})
    layout = Layout(processes=1, micro_batch=batch, accumulation=1, batch_norm="ghost")
    torch.backends.cudnn.benchmark = True
    return TrainState(recipe, build_learner(recipe), world, layout, steps_per_epoch=1000)


def some_batch(count: int, size: int, *, augmented: bool, pin: bool) -> Any:
    """Random pixels, with the recipe's augmentation or with none."""
    import numpy as np
    import torch

    from ladder_hub.data.photometric import PARAMS, PHOTOMETRIC_NUMBERS, Policy, draw
    from ladder_hub.data.views import Batch

    policies = [
        Policy(
            jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, grey=0.2, blur=blur,
            blur_sigma=(0.1, 2.0), solarize=solarize,
        )
        for blur, solarize in ((1.0, 0.0), (0.1, 0.2))
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    rows = [
        torch.from_numpy(draw(policy, rng.random((count, PHOTOMETRIC_NUMBERS))))
        if augmented
        else torch.zeros(count, PARAMS)
        for policy in policies
    ]
    views = [torch.randint(256, (count, 3, size, size), dtype=torch.uint8) for _ in range(2)]
    batch = Batch((views[0], views[1]), (rows[0], rows[1]), torch.arange(count), [])
    return batch.pin_memory() if pin else batch


def ours(method: str, args: argparse.Namespace) -> Callable[[], object]:
    """One optimiser step of a shipped recipe, as it runs by default."""
    state = our_state(method, args.batch, args.keys)
    batch = some_batch(args.batch, args.size, augmented=False, pin=state.device.type == "cuda")
    return lambda: state.advance([batch])


def lightly_byol(args: argparse.Namespace) -> Callable[[], object]:
    """The step of lightly's BYOL example: contiguous float32, SGD, its modules, its loss."""
    import copy

    import torch
    import torchvision
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum

    device = "cuda" if torch.cuda.is_available() else "cpu"
    resnet = getattr(torchvision.models, "resnet18" if args.small else "resnet50")()
    width = resnet.fc.in_features
    backbone = torch.nn.Sequential(*list(resnet.children())[:-1]).to(device)
    project = BYOLProjectionHead(width, 4096, 256).to(device)
    predict = BYOLPredictionHead(256, 4096, 256).to(device)
    backbone_target, project_target = copy.deepcopy(backbone), copy.deepcopy(project)
    deactivate_requires_grad(backbone_target)
    deactivate_requires_grad(project_target)
    criterion = NegativeCosineSimilarity()
    trained = [p for part in (backbone, project, predict) for p in part.parameters()]
    optimizer = torch.optim.SGD(trained, lr=0.06)
    views = [torch.randn(args.batch, 3, args.size, args.size, device=device) for _ in range(2)]

    def step() -> None:
        update_momentum(backbone, backbone_target, m=0.99)
        update_momentum(project, project_target, m=0.99)
        predictions, targets = [], []
        for view in views:
            predictions.append(predict(project(backbone(view).flatten(start_dim=1))))
            targets.append(project_target(backbone_target(view).flatten(start_dim=1)).detach())
        loss = 0.5 * (criterion(predictions[0], targets[1]) + criterion(predictions[1], targets[0]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def serve(name: str, args: argparse.Namespace, pipe: Any) -> None:
    """In a process of its own: steps on demand, with their times, and the peak of memory at last."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    imported = _resident()
    step = lightly_byol(args) if name == "lightly" else ours(name, args)
    cuda = torch.cuda.is_available()
    while (count := pipe.recv()) > 0:
        times = []
        for _ in range(count):
            begun, cpu = time.perf_counter(), time.process_time()
            step()
            if cuda:
                torch.cuda.synchronize()
            times.append((time.perf_counter() - begun, time.process_time() - cpu))
        peak = torch.cuda.max_memory_allocated() if cuda else _peak() - imported
        if cuda:
            torch.cuda.empty_cache()  # the next one's turn
        pipe.send((times, peak))


def _resident() -> int:
    from pathlib import Path

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def running(names: list[str], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A process each, with the pipe to ask it by."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        pipes[name], other = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, args, other)))
        processes[-1].start()
    try:
        yield pipes
    finally:
        for pipe in pipes.values():
            pipe.send(0)
        for process in processes:
            process.join()


def compare(names: list[str], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians of seconds and CPU seconds a step, and the peak of memory in GB."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    peaks: dict[str, float] = {}
    with running(names, args) as pipes:
        for turn in steps(range(args.rounds + 1), "turn"):
            for name, pipe in pipes.items():
                pipe.send(args.warm if turn == 0 else args.steps + args.skipped)
                found, peaks[name] = pipe.recv()
                times[name] += found[args.skipped :] if turn else []
    return {
        name: {
            "seconds": statistics.median(wall for wall, _ in found),
            "cpu_seconds": statistics.median(cpu for _, cpu in found),
            "samples_per_second": args.batch / statistics.median(wall for wall, _ in found),
            "peak_gb": peaks[name] / 1e9,
            "steps": len(found),
        }
        for name, found in times.items()
    }


def shares(method: str, args: argparse.Namespace) -> dict[str, float]:
    """Seconds of the parts of our step, means over `--steps` steps; a GPU is waited for after each part."""
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    state = our_state(method, args.batch, args.keys)
    batch = some_batch(args.batch, args.size, augmented=True, pin=state.device.type == "cuda")
    spent: dict[str, float] = {}

    def clock() -> float:
        if state.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() if args.wall else time.process_time()

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            begun = clock()
            result = call(*values, **named)
            spent[name] = spent.get(name, 0.0) + clock() - begun
            return result

        return run

    from ladder_hub.training import inputs

    inputs.augment = timed("augment", inputs.augment)
    inputs.normalise = timed("normalise", inputs.normalise)  # of bytes, on a CPU
    inputs.normalise_ = timed("normalise", inputs.normalise_)
    learner = state.learner
    learner.online.forward = timed("forward online", learner.online.forward)
    learner.target.forward = timed("forward target", learner.target.forward)
    learner._loss = timed("predictors, losses", learner._loss)
    torch.Tensor.backward = timed("backward", torch.Tensor.backward)
    state.optimizer.step = timed("optimiser", state.optimizer.step)
    learner.update_target = timed("average", learner.update_target)
    whole = timed("step", lambda: state.advance([batch]))
    whole()
    spent.clear()
    for _ in range(args.steps):
        whole()
    total = spent.pop("step")
    spent["rest"] = total - sum(spent.values())
    return {name: seconds / args.steps for name, seconds in spent.items()}


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="images a step")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender that count")
    parser.add_argument("--steps", type=int, default=1, help="steps of a turn that count")
    parser.add_argument("--skipped", type=int, default=0, help="steps before them that do not")
    parser.add_argument("--warm", type=int, default=1, help="steps of the first turn, which do not count")
    parser.add_argument("--threads", type=int, default=0, help="of a CPU; 0: all cores")
    parser.add_argument("--only", default="", help="contenders, with commas: lightly, byol, ladder_byol, ladder_dense")
    parser.add_argument("--shares", action="store_true", help="where the time of our step goes")
    parser.add_argument("--wall", action="store_true", help="wall time for --shares, not CPU time")
    parser.add_argument("--small", action="store_true", help="ResNet-18, to rehearse")
    parser.add_argument("--name", default="step", help="of the JSON in results/")
    parser.add_argument("keys", nargs="*", help="KEY=VALUE of our recipes: precision=bf16, compile=true, ...")
    args = parser.parse_args()
    args.keys += [f"data.image_size={args.size}", *(["model.backbone=resnet18"] if args.small else [])]
    return args


def main() -> None:
    """The table and the JSON."""
    args = arguments()
    chosen = args.only.split(",") if args.only else ["lightly", *METHODS]
    if "lightly" in chosen and find_spec("lightly") is None:
        print("lightly is not installed (pip install 'ladder-hub[bench]'): its row is left out")
        chosen.remove("lightly")
    if args.shares:
        found: Any = {name: shares(name, args) for name in chosen if name != "lightly"}
        for name, parts in found.items():
            total = sum(parts.values())
            print(f"{name}, {total:.2f} s a step of {args.batch}")
            print(table(("part", "ms", "share"), [(k, f"{v * 1e3:.0f}", f"{v / total:.1%}") for k, v in parts.items()]))
    else:
        found = compare(chosen, args)
        byol, peer = found.get("byol"), found.get("lightly")
        rows = []
        for name, row in found.items():
            key = "seconds" if args.threads != 1 else "cpu_seconds"
            speed = f"{peer[key] / row[key]:.2f}x" if peer else "-"
            over = [f"{row[k] / byol[k]:.2f}" for k in (key, "peak_gb")] if byol and name != "lightly" else ["-", "-"]
            figures = [f"{row[k]:.2f}" for k in ("seconds", "cpu_seconds", "samples_per_second", "peak_gb")]
            rows.append((name, *figures, speed, *over))
        head = ("step", "s", "CPU s", "images/s", "peak GB", "lightly / it", "time / byol", "peak / byol")
        print(table(head, rows))
    path = keep(args.name, {"arguments": vars(args), "found": found})
    print(f"-> {path}")


if __name__ == "__main__":
    main()
