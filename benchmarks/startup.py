"""What does it cost to begin? `python benchmarks/startup.py`.

Fresh processes taking turns: `import ladder_hub` against `import timm`, `ladder-hub --help`, and within one process
`ladder_hub.create_model` of a local artifact against `timm.create_model` with the same file, all packages imported.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import keep, table

_IN_PROCESS = """
import json, sys, time
import timm, ladder_hub
from ladder_hub import create_model
folder, arch, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
calls = {
    "timm.create_model(checkpoint_path=)": lambda: timm.create_model(
        arch, num_classes=0, checkpoint_path=f"{folder}/model.safetensors"),
    "timm.create_model(local-dir:)": lambda: timm.create_model(f"local-dir:{folder}", pretrained=True),
    "ladder_hub.create_model(folder)": lambda: create_model(folder),
}
times = {name: [] for name in calls}
for _ in range(rounds + 1):
    for name, call in calls.items():
        begun = time.perf_counter(), time.process_time()
        call()
        times[name].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
print(json.dumps({name: found[1:] for name, found in times.items()}))
"""
_STARTS = {
    "python": ["-c", "pass"],
    "import timm": ["-c", "import timm"],
    "import ladder_hub": ["-c", "import ladder_hub"],
    "ladder-hub --help": ["-m", "ladder_hub", "--help"],
}


def write_artifact(folder: Path, backbone: str) -> None:
    """A model's folder as a run leaves it, as far as loading looks at it."""
    from ladder_hub.backbone import build_backbone, explicit_cfg
    from ladder_hub.weights import file_sha256, save_canonical, tensor_digest

    tensors = build_backbone(backbone).state_dict()
    save_canonical(tensors, folder / "model.safetensors")
    facts = {"sha256": file_sha256(folder / "model.safetensors"), "digest": tensor_digest(tensors)}
    cfg = explicit_cfg(backbone, image_size=224, crop_pct=0.875, license="apache-2.0")
    config = {"architecture": backbone, "num_classes": 0, "pretrained_cfg": cfg, "ladder_hub": facts}
    (folder / "config.json").write_text(json.dumps(config))


def started(command: list[str]) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a fresh process."""
    import os

    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, cpu


def main() -> None:
    """The table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--name", default="startup", help="of the JSON in results/")
    args = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _STARTS}
    for turn in range(args.rounds + 1):
        for name, command in _STARTS.items():
            took = started(command)
            if turn:  # the first fills the caches of the disk
                times[name].append(took)
    with tempfile.TemporaryDirectory() as folder:
        write_artifact(Path(folder), args.backbone)
        answer = subprocess.run(
            [sys.executable, "-c", _IN_PROCESS, folder, args.backbone, str(args.rounds)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    times |= json.loads(answer.stdout.splitlines()[-1])
    found = {
        name: {"seconds": statistics.median(w for w, _ in took), "cpu_seconds": statistics.median(c for _, c in took)}
        for name, took in times.items()
    }
    against = {
        "import ladder_hub": "import timm",
        "ladder_hub.create_model(folder)": "timm.create_model(checkpoint_path=)",
    }
    rows = []
    for name, row in found.items():
        peer = found.get(against.get(name, ""))
        ratios = [f"{row[key] / peer[key]:.2f}" if peer else "-" for key in ("seconds", "cpu_seconds")]
        rows.append((name, f"{row['seconds']:.3f}", f"{row['cpu_seconds']:.3f}", *ratios))
    print(table(("start", "s", "CPU s", "s / timm's", "CPU / timm's"), rows))
    print(f"-> {keep(args.name, {'arguments': vars(args), 'found': found})}")


if __name__ == "__main__":
    main()
