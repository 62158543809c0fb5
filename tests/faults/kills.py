"""A small real run, killed at a random moment and gone on with: does it end in the same bits?

`python tests/faults/kills.py 20` kills twenty and prints where each was hit; the test does a few.
"""

import io
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from processes import LIMIT, Processes, command

from ladder_hub.runtime.checkpoint import newest_checkpoint
from ladder_hub.runtime.log import read_log

RUN = ["recipe=tiny64_ladder_dense", "model.backbone=test_resnet", "heads.hidden=32", "heads.out=16", "batch_size=8"]
RUN += ["data.image_size=32", "data.train=shapes:32", "data.val=shapes:16", "epochs=6", "optim.warmup_epochs=1"]
RUN += ["log.every=1", "knn.every=2", "knn.bank=16", "device=cpu", "precision=float32", "resume=auto"]
SECONDS = ("samples_per_second", "data_wait")  # the figures of a log that depend on the clock


@dataclass(frozen=True)
class Trial:
    """One run that was killed: after so many seconds, where, and whether its end was that of the whole run."""

    after: float
    hit: str
    same: bool


def begin(out: Path, *keys: str) -> Processes:
    return Processes(command, "train", *RUN, f"out={out}", *keys, variables=[{}], folder=out.parent)


def end(out: Path) -> tuple[bytes, bytes, list[dict[str, Any]], str]:
    """What must be the same: weights, heads, log, metrics."""
    artifact = out / "artifact"
    log = [{key: value for key, value in record.items() if key not in SECONDS} for record in read_log(out)]
    weights, heads = (artifact / "model.safetensors", artifact / "ladder_heads.safetensors")
    return weights.read_bytes(), heads.read_bytes(), log, (artifact / "metrics.json").read_text().split('"date"')[0]


def whole_run(folder: Path) -> tuple[tuple, float]:
    """The end of a run that nothing happens to, and the seconds that it takes."""
    begin(folder / "first").results()  # its first start pays for the imports of all
    started = time.monotonic()
    run = begin(folder / "whole", "data.workers=0")
    run.results()
    assert run.statuses == [0], run.said
    return end(folder / "whole"), time.monotonic() - started


def kill_once(out: Path, whole: tuple, seconds: float, *keys: str) -> Trial:
    """Start, SIGKILL after `seconds` at most, go on to the end."""
    while True:
        run = begin(out, *keys)
        (process,) = run.processes
        process.join(seconds)
        if process.is_alive():
            break
        run.results()
        seconds *= 0.9  # it was done: nothing was killed
        _remove(out)
    process.kill()
    process.join(LIMIT)
    hit = _hit(out)
    again = begin(out, *keys)
    again.results()
    assert again.statuses == [0], again.said
    return Trial(seconds, hit, end(out) == whole)


def kill_many(count: int, folder: Path, *, seed: int) -> list[Trial]:
    """`count` runs, each killed once; half of them load in a process of its own."""
    moment = random.Random(seed)
    whole, seconds = whole_run(folder)
    trials = []
    for number in range(count):
        keys = [f"data.workers={number % 2}"]
        trials.append(kill_once(folder / f"run{number}", whole, moment.uniform(0.02, 1) * seconds, *keys))
    return trials


def _hit(out: Path) -> str:
    """How far the killed run had come."""
    if not (out / "recipe.toml").is_file():
        return "before its folder"
    steps = max((record["step"] for record in read_log(out)), default=0)
    newest = newest_checkpoint(out / "checkpoints")
    left = sorted(path.name for path in out.rglob("*") if path.name.endswith(".partial") or ".new" in path.name)
    published = ", artifact there" if (out / "artifact").is_dir() else ""
    return (
        f"step {steps:2}, checkpoint {newest.stem[-2:] if newest else 'none'}{published}{f', {left}' if left else ''}"
    )


def _remove(out: Path) -> None:
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    out.rmdir()


def main() -> None:
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        trials = kill_many(count, Path(folder), seed=0)
    report = io.StringIO()
    for trial in trials:
        report.write(f"{trial.after:6.2f} s  {'same' if trial.same else 'OTHER':5}  {trial.hit}\n")
    report.write(f"{sum(trial.same for trial in trials)} of {count} ended in the same bits\n")
    sys.stdout.write(report.getvalue())


if __name__ == "__main__":
    main()
