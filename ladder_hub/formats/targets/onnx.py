"""ONNX: the four maps, free in batch and size, compared with the network in onnxruntime."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ladder_hub.backbone import STAGE_NAMES
from ladder_hub.formats import FormatError
from ladder_hub.formats.target import Exported, ExportSettings, Product, checked_path, example_images
from ladder_hub.formats.targets.program import CHECKS, largest_difference, traced

TOLERANCE = 1e-4
"""Of a map's largest value: onnxruntime folds BatchNorm into the convolutions."""


def make(model: Exported, out: Path, settings: ExportSettings) -> Product:
    """An .onnx with the input `images` and the outputs res2, res3, res4, res5.

    Raises:
        FormatError: a package of the extra `onnx` is absent, or the copy differs.
    """
    checked_path(out, ".onnx", "onnx")
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise FormatError(f"to=onnx needs {' and '.join(absent)}: pip install 'ladder-hub[onnx]'")
    pyramid, program = traced(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph: Any = torch.onnx.export(
            program, input_names=["images"], output_names=list(STAGE_NAMES), dynamo=True, verbose=False
        )
    data = _without_places(graph.model_proto)
    worst = max(largest_difference(pyramid, _Session(data), images) for images in example_images(*CHECKS))
    if worst > TOLERANCE:
        raise FormatError(f"onnxruntime differs from the network by {worst:g}; nothing was written")
    return Product(data, notes=(f"input images, outputs {', '.join(STAGE_NAMES)}; onnxruntime within {worst:.1e}",))


class _Session:
    def __init__(self, data: bytes) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def __call__(self, images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(found) for found in self._session.run(list(STAGE_NAMES), {"images": images.numpy()})]


def _without_places(model: Any) -> bytes:
    """The graph without the exporter's remarks, which name folders of this machine."""
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model.SerializeToString()
