"""What docs/evidence.md and recipes/README.md tell beside a sweep's table.

`python benchmarks/evidence_facts.py SWEEP TUNING LIGHTLY` writes it to results/evidence.json.
SWEEP is the folder of `evidence.sh`, TUNING that of `tuning.sh`, LIGHTLY the artifact made of what `lightly_byol.py`
trained, with its kNN. Figures are shares of one, speeds are images a second.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from ladder_hub.errors import UserError
from ladder_hub.metrics_file import read_metrics
from ladder_hub.runtime.log import read_log

RESULTS = Path(__file__).parent / "results" / "evidence.json"


def knn(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """{stage: [top-1, lower, upper end of its 95 % interval]}."""
    return {entry["stage"]: [entry["value"], *entry["ci95"]] for entry in entries if entry["metric"] == "top1"}


def cell_and_seed(path: str) -> str:
    """`random:/data/sweep/byol/seed0` is `random:byol/seed0`."""
    return "random:" * path.startswith("random:") + "/".join(Path(path).parts[-2:])


def tuned(folder: Path) -> dict[str, Any]:
    """{run: kNN by stage}; of the untrained network res5 alone, as the first run measured it."""
    paths = {path.name.removesuffix(".knn.json"): path for path in sorted(folder.glob("*.knn.json"))}
    first = read_metrics(folder / next(iter(paths)) / "artifact" / "metrics.json", UserError)
    baseline = next(entry["baseline"] for entry in first if entry["metric"] == "top1" and entry["baseline"] is not None)
    return {"untrained": {"res5": [baseline]}, **{name: knn(json.loads(p.read_text())) for name, p in paths.items()}}


def views(sweep: Path) -> dict[str, Any]:
    """{run: {stage: [distance of two views over that of two images, ends of its 95 % interval]}}."""
    models = json.loads((sweep / "views.json").read_text())["models"]
    return {
        cell_and_seed(model["model"]): {s["stage"]: [s["ratio"], *s["ratio_ci95"]] for s in model["stages"]}
        for model in models
    }


def collapse(sweep: Path) -> dict[str, Any]:
    """{run: verdict on its stages; of each head the verdict at the end and the lowest spread of all logged steps}."""
    runs = json.loads((sweep / "collapse.json").read_text())["runs"]
    return {
        cell_and_seed(run["run"]): {
            "stages": run["verdict"],
            "heads": {head["name"]: [head["verdict"], min(head["std"])] for head in run["heads"]},
        }
        for run in runs
    }


def speed(sweep: Path) -> dict[str, Any]:
    """{cell: what `plan` says, and the median over each run's log}."""
    found = {}
    for path in sorted(sweep.glob("plan-*.json")):
        cell = path.stem.removeprefix("plan-")
        logs = {run.name: read_log(run) for run in sorted((sweep / cell).glob("seed?"))}
        found[cell] = {
            "plan": json.loads(path.read_text())["speed"]["samples_per_second"],
            **{
                seed: statistics.median(r["samples_per_second"] for r in log if "samples_per_second" in r)
                for seed, log in logs.items()
            },
        }
    return found


def main() -> None:
    """Collect and write."""
    sweep, tuning, lightly = map(Path, sys.argv[1:])
    facts = {
        "tuning": tuned(tuning),
        "lightly": knn(read_metrics(lightly / "metrics.json", UserError)),
        "views": views(sweep),
        "collapse": collapse(sweep),
        "speed": speed(sweep),
    }
    RESULTS.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")
    print(RESULTS)


if __name__ == "__main__":
    main()
