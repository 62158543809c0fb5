"""Run as a program in a process of its own: load an artifact as somebody does who has one library, and not ours.

`python -P outsider.py LIBRARY FOLDER REFERENCE` prints one line: `equal`, `skipped: why`, or how the outputs differ.
REFERENCE is a file of tensors: `images`, `map0`.. (the pyramid), `features` (the last map), `pooled`; and the indices
of the maps as timm counts them.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch

Reference = dict[str, Any]


def through_timm(folder: str, wanted: Reference) -> dict[str, Any]:
    """The pyramid by `local-dir:`, which is what `hf-hub:` does after its download."""
    import timm

    options = {"features_only": True, "out_indices": tuple(wanted["indices"])}
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, **options).eval()
    return _maps(model(wanted["images"]))


def through_transformers(folder: str, wanted: Reference) -> dict[str, Any]:
    """The last map, from `AutoModel`."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    return {"features": model(wanted["images"]).last_hidden_state}


def through_torchvision(folder: str, wanted: Reference) -> dict[str, Any]:
    """Pooled features, where torchvision has the same network under the same names: the ResNets."""
    import torchvision
    from safetensors.torch import load_file

    build = getattr(torchvision.models, wanted["architecture"], None)
    if build is None:
        raise SystemExit("skipped: torchvision has no such network")
    model, tensors = build(weights=None), load_file(f"{folder}/model.safetensors")
    if not {name for name in model.state_dict() if not name.startswith("fc.")} == tensors.keys():
        raise SystemExit("skipped: torchvision's network has other names")
    model.fc = torch.nn.Identity()
    model.load_state_dict(tensors)
    return {"pooled": model.eval()(wanted["images"])}


def through_segmentation_models_pytorch(folder: str, wanted: Reference) -> dict[str, Any]:
    """The pyramid, as an encoder."""
    from segmentation_models_pytorch.encoders import get_encoder

    encoder = get_encoder(f"tu-local-dir:{folder}", weights=True).eval()
    return _maps(encoder(wanted["images"])[-4:])


LIBRARIES: dict[str, Callable[[str, Reference], dict[str, Any]]] = {
    "timm": through_timm,
    "transformers": through_transformers,
    "torchvision": through_torchvision,
    "segmentation_models_pytorch": through_segmentation_models_pytorch,
}


def _maps(outputs: Any) -> dict[str, Any]:
    return {f"map{number}": output for number, output in enumerate(outputs)}


def main(library: str, folder: str, reference: str) -> str:
    """Compare; one line says how it went."""
    wanted = torch.load(reference, weights_only=True)
    with torch.no_grad():
        found = LIBRARIES[library](folder, wanted)
    for name, output in found.items():
        if output.shape != wanted[name].shape:
            return f"{name} has the shape {list(output.shape)}, with ladder_hub {list(wanted[name].shape)}"
        if not torch.allclose(output, wanted[name], rtol=1e-4, atol=1e-5):
            return f"{name} differs by up to {(output - wanted[name]).abs().max():.2g}"
    assert "ladder_hub" not in sys.modules
    return "equal"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
