"""For detectron2: tensors under its names, and the lines of config that go with them.

Its own loader of .pth files matches names by their ends when the path says `?matching_heuristics=True`.
"""

import json
import pickle
from pathlib import Path

from ladder_hub.formats.names import to_detectron2
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path
from ladder_hub.formats.targets.tensor_file import tensor_file


def make(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """A .pth of plain tensors (or, asked for, the .pkl of arrays) and a .yaml of config."""
    facts = model.resnet("detectron2")
    checked_path(out, ".pkl" if settings.pickle else ".pth", f"detectron2 pickle={str(settings.pickle).lower()}")
    tensors = to_detectron2(model.tensors)
    if settings.pickle:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        data = pickle.dumps({"model": arrays, "__author__": "ladder-hub", "matching_heuristics": True})
    else:
        data = tensor_file(tensors)
    mean, std = model.pixels()
    path = json.dumps(f"{out}{'' if settings.pickle else '?matching_heuristics=True'}")
    basic = "\n    RES2_OUT_CHANNELS: 64" if facts.basic else ""
    config = f"""\
# {model.comment()}
# Put these lines over a config of detectron2's own. Its defaults are other: BGR, stride in the 1x1, frozen stages.
MODEL:
  WEIGHTS: {path}
  PIXEL_MEAN: {mean}
  PIXEL_STD: {std}
  BACKBONE:
    FREEZE_AT: 0
  RESNETS:
    DEPTH: {facts.depth}
    NUM_GROUPS: {facts.groups}
    WIDTH_PER_GROUP: {facts.width}
    STRIDE_IN_1X1: False
    NORM: "SyncBN"{basic}
  FPN:
    NORM: "SyncBN"
INPUT:
  FORMAT: "RGB"
"""
    return Product(data, {".yaml": config}, (f"merge {out.with_suffix('.yaml')} over your config",))
