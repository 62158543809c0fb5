"""Where a result comes from: code, versions, data, seed, device, time."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import ladder_hub

_PACKAGES = ("torch", "torchvision", "timm", "safetensors", "huggingface_hub", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what decides the numbers."""
    found = {"python": platform.python_version(), "ladder_hub": ladder_hub.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree on the path, without metadata
            found[package] = "unknown"
    return found


def code_commit() -> str | None:
    """The commit of the checkout that this package runs from, `+` where it has uncommitted changes; else None."""
    root = Path(ladder_hub.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    return commit and commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's architecture and the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads"


def provenance(device: torch.device, **facts: Any) -> dict[str, Any]:
    """The facts of a run for `provenance.json`, with those that only the run knows."""
    return {"commit": code_commit(), "versions": versions(), "device": device_name(device), **facts}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
