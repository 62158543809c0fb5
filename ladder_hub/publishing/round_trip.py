"""An artifact through the libraries that its users have, each in a fresh process without ladder_hub."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from ladder_hub.backbone import pyramid, stage_indices
from ladder_hub.documents import without_controls
from ladder_hub.models import create_model
from ladder_hub.publishing import outsider

LIMIT = 600
"""Seconds that one library may take."""


def round_trip(folder: Path) -> dict[str, str]:
    """Load `folder` with every library that is installed, and compare the outputs with those of `create_model`.

    Returns:
        {library: `equal`, `skipped: why`, or what went wrong}.

    Raises:
        ModelError: `create_model` does not take the folder.
    """
    installed = [name for name in outsider.LIBRARIES if importlib.util.find_spec(name)]
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "reference.pt"
        torch.save(reference(folder), file)
        with ThreadPoolExecutor(min(len(installed), os.cpu_count() or 1)) as pool:
            answers = pool.map(lambda name: _ask(name, folder.resolve(), file), installed)
            found = dict(zip(installed, answers, strict=True))
    return {name: found.get(name, "skipped: not installed here") for name in outsider.LIBRARIES}


def reference(folder: Path) -> dict[str, Any]:
    """What `create_model` makes of one fixed image: the tensors that `outsider.py` compares with."""
    model: Any = create_model(folder).eval()
    cfg = model.pretrained_cfg
    size = cfg["input_size"] if cfg.get("fixed_input_size") else (cfg["input_size"][0], 64, 96)
    images = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = list(pyramid(model, images).values())
        outputs = {"features": model.forward_features(images), "pooled": model(images)}
    facts = {"architecture": cfg["architecture"], "indices": list(stage_indices(model).values()), "images": images}
    return facts | outputs | {f"map{number}": tensor for number, tensor in enumerate(maps)}


def _ask(library: str, folder: Path, file: Path) -> str:
    # No login, no network and no module from the folder that this happens to run in.
    env = {name: value for name, value in os.environ.items() if name not in ("HF_TOKEN", "PYTHONPATH")}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-P", str(Path(outsider.__file__)), library, str(folder), str(file)]
    try:
        done = subprocess.run(  # noqa: S603
            words, env=env, cwd=file.parent, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {LIMIT} seconds"
    said = done.stderr if done.returncode else done.stdout
    # A skip ends the program early, with its reason; a failure ends with the last line of a traceback.
    last = (said.strip().splitlines() or [f"the process ended with status {done.returncode}"])[-1]
    return without_controls(last)[:300]
