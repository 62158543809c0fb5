"""A faithful checkpoint of every layout, written from the names that each project's own code gives its tensors.

Every builder takes the state dict of a torchvision ResNet as the online network's and another as the target's, and
gives what the project would hand to `torch.save` (or `numpy.savez`).
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

State = Mapping[str, Tensor]


def under(prefix: str, state: State) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def mlp(prefix: str, width: int = 3) -> dict[str, Tensor]:
    """A head: linear, BatchNorm, ReLU, linear."""
    head = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width))
    return under(f"{prefix}.", head.state_dict())


def optimizer() -> dict[str, Any]:
    return {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


def lightning(state: State) -> dict[str, Any]:
    extra = {"epoch": 9, "global_step": 90, "pytorch-lightning_version": "2.5.0", "loops": {}, "callbacks": {}}
    return {**extra, "state_dict": dict(state), "optimizer_states": [optimizer()], "lr_schedulers": []}


def mmcv(state: State) -> dict[str, Any]:
    return {"meta": {"epoch": 200, "iter": 1000, "mmcv_version": "1.7.0"}, "state_dict": dict(state)}


def moco_file(state: State) -> dict[str, Any]:
    return {"epoch": 200, "arch": "resnet18", "state_dict": dict(state), "optimizer": optimizer()}


def moco_state(online: State, target: State, inner: str = "") -> dict[str, Tensor]:
    state = {
        **under(f"module.encoder_q.{inner}", online),
        **under(f"module.encoder_k.{inner}", target),
        "module.queue": torch.zeros(4, 8),
        "module.queue_ptr": torch.zeros(1, dtype=torch.int64),
    }
    for encoder in ("q", "k"):
        state |= {f"module.encoder_{encoder}.{inner}fc.{layer}.weight": torch.zeros(2, 2) for layer in (0, 2)}
    return state


def sequential(state: State) -> dict[str, Tensor]:
    """The names of `nn.Sequential(*list(resnet.children())[:-1])`."""
    places = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    return {f"{places[n.split('.')[0]]}.{n.partition('.')[2]}": tensor for n, tensor in state.items()}


def detectron2(state: State) -> dict[str, Tensor]:
    """As MoCo's convert-pretrain-to-detectron2.py renames."""
    found = {}
    for name, tensor in state.items():
        new = name if "layer" in name else f"stem.{name}"
        for stage in (1, 2, 3, 4):
            new = new.replace(f"layer{stage}", f"res{stage + 1}")
        for number in (1, 2, 3):
            new = new.replace(f"bn{number}", f"conv{number}.norm")
        found[new.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = tensor
    return found


def haiku(part: str, state: State) -> dict[str, Tensor]:
    """`part`_params and `part`_state, flattened as docs/interop.md flattens them; convolutions are HWIO."""
    found = {}
    leaves = {"weight": "scale", "bias": "offset", "running_mean": "~/mean_ema", "running_var": "~/var_ema"}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        *where, layer = module.replace("downsample.", "downsample-").split(".")
        conv = layer.startswith("conv") or layer == "downsample-0"
        kind = "conv" if conv else "batchnorm"
        if not where:
            place = f"initial_{kind}"
        else:
            last = f"shortcut_{kind}" if "-" in layer else f"{kind}_{int(layer[-1]) - 1}"
            place = f"block_group_{int(where[0][-1]) - 1}/~/block_{where[1]}/~/{last}"
        path = f"res_net18/~/{place}"
        if conv:
            found[f"{part}_params/{path}/w"] = tensor.permute(2, 3, 1, 0)
        elif leaf.startswith("running"):
            base = f"{part}_state/{path}/{leaves[leaf]}"
            found |= {f"{base}/average": tensor.reshape(1, 1, 1, -1), f"{base}/hidden": tensor.reshape(1, 1, 1, -1)}
            found[f"{base}/counter"] = torch.tensor(7, dtype=torch.int32)
        else:
            found[f"{part}_params/{path}/{leaves[leaf]}"] = tensor.reshape(1, 1, 1, -1)
    for head in ("projector", "predictor"):
        found[f"{part}_params/{head}/~/linear/w"] = torch.zeros(2, 3)
        found[f"{part}_state/{head}/~/batchnorm/~/mean_ema/average"] = torch.zeros(1, 3)
    found[f"{part}_params/classifier/w"] = torch.zeros(2, 3)
    return found


def byol_0x(online: State, target: State) -> dict[str, Tensor]:
    state = {**under("backbone.", online), **mlp("neck"), **mlp("head.predictor")}
    state |= {**under("online_net.0.", online), **mlp("online_net.1"), **under("target_net.0.", target)}
    return state | mlp("target_net.1")


def byol_1x(online: State, target: State) -> dict[str, Tensor]:
    state = {**under("backbone.", online), **mlp("neck"), **mlp("head.predictor")}
    state |= {"target_net.steps": torch.tensor(9), **under("target_net.module.0.", target)}
    return state | mlp("target_net.module.1")


def densecl(online: State, target: State) -> dict[str, Tensor]:
    state = {**under("backbone.", online), **under("encoder_q.0.", online), **mlp("encoder_q.1.mlp")}
    state |= {**under("encoder_k.0.", target), **mlp("encoder_k.1.mlp"), "queue": torch.zeros(4, 8)}
    return state | {"queue_ptr": torch.zeros(1), "queue2": torch.zeros(4, 8), "queue2_ptr": torch.zeros(1)}


def lewel(online: State, target: State) -> dict[str, Tensor]:
    state = {**under("module.online_net.backbone.", online), **under("module.target_net.backbone.", target)}
    state |= {"module.online_net.backbone.fc.weight": torch.zeros(2, 2), **mlp("module.online_net.neck.proj.mlp")}
    return (
        state | mlp("module.target_net.neck.proj.mlp") | mlp("module.predictor.mlp") | mlp("module.predictor_obj.mlp")
    )


def resim(online: State, target: State) -> dict[str, Tensor]:
    state = moco_state(online, target)
    return state | {f"module.encoder_{e}.fpn_{n}.weight": torch.zeros(2) for e in "qk" for n in ("lateral5", "output4")}


def regioncl(online: State, target: State) -> dict[str, Tensor]:
    state = moco_state(online, target) | {"module.queue_dense": torch.zeros(4, 8)}
    return state | {f"module.encoder_{e}.dense_head.0.weight": torch.zeros(2) for e in "qk"}


def pixpro(online: State, target: State) -> dict[str, Any]:
    state = {**under("module.encoder.", online), **under("module.encoder_k.", target), **mlp("module.projector")}
    state |= {**mlp("module.projector_k"), **mlp("module.value_transform")}
    return {"model": state, "opt": argparse.Namespace(lr=1.0, arch="resnet50"), "optimizer": optimizer(), "epoch": 100}


def lightly_heads(target: str) -> dict[str, Tensor]:
    return {**mlp("projection_head.layers"), **mlp("prediction_head.layers"), **mlp(f"{target}_projection_head.layers")}


def transformers(state: State) -> dict[str, Tensor]:
    """The names of `ResNetModel`."""
    found = {}
    for name, tensor in state.items():
        *where, layer, leaf = name.replace("downsample.", "downsample").split(".")
        kind = "convolution" if layer in ("conv1", "conv2", "conv3", "downsample0") else "normalization"
        inner = "shortcut" if layer.startswith("downsample") else f"layer.{int(layer[-1]) - 1}"
        place = f"encoder.stages.{int(where[0][-1]) - 1}.layers.{where[1]}.{inner}" if where else "embedder.embedder"
        found[f"{place}.{kind}.{leaf}"] = tensor
    return found


BUILDERS: dict[str, Callable[[State, State], dict[str, Any]]] = {
    "deepmind": lambda o, t: {**haiku("online", o), **haiku("target", t)},
    "densecl": lambda o, t: mmcv(densecl(o, t)),
    "densecl.extracted": lambda o, t: {"state_dict": dict(o), "author": "densecl"},
    "densesiam": lambda o, t: mmcv(
        {**under("backbone.", o), "decoder.conv.weight": torch.zeros(2), **mlp("projector"), **mlp("predictor")}
        | {**mlp("aux_projector"), **mlp("kernel_predictor")}
    ),
    "detco": lambda o, t: {"state_dict": dict(o)},
    "detectron2": lambda o, t: {"model": under("backbone.bottom_up.", detectron2(o)) | {"roi_heads.w": torch.zeros(2)}},
    "lewel": lambda o, t: moco_file(lewel(o, t)),
    "lewel.moco": lambda o, t: moco_file(moco_state(o, t, "backbone.") | mlp("module.encoder_q.neck.proj")),
    "lightly": lambda o, t: lightning(
        {**under("backbone.", o), **under("teacher_backbone.", t), **lightly_heads("teacher")}
        | {"online_classifier.linear.weight": torch.zeros(2, 2)}
    ),
    "lightly.train": lambda o, t: lightning(
        {**under("student_embedding_model.wrapped_model._features.", o), **mlp("student_projection_head.layers")}
        | under("teacher_embedding_model.wrapped_model._features.", t)
    ),
    "lightly.sequential": lambda o, t: lightning(
        {
            **under("backbone.", sequential(o)),
            **under("backbone_momentum.", sequential(t)),
            **mlp("projection_head.layers"),
        }
    ),
    "mmselfsup.0x": lambda o, t: mmcv(byol_0x(o, t)),
    "mmselfsup.1x": lambda o, t: mmcv(byol_1x(o, t)) | {"message_hub": {"log_scalars": {}}},
    "mmselfsup.extracted": lambda o, t: {"state_dict": dict(o), "author": "OpenSelfSup"},
    "moco": lambda o, t: moco_file(moco_state(o, t)),
    "pixpro": pixpro,
    "pixpro.old": lambda o, t: {"model": {**under("module.base.", o), **mlp("module.projector")}, "epoch": 100},
    "regioncl": lambda o, t: mmcv({**under("backbone.", o), **under("encoder_k.0.", t), "queue": torch.zeros(2)}),
    "regioncl.densecl": lambda o, t: moco_file(regioncl(o, t)),
    "resim": lambda o, t: moco_file(resim(o, t)),
    "resim.detectron2": lambda o, t: {
        "model": {**detectron2(o), "stem.fc.0.weight": torch.zeros(2), "backbone.fpn_lateral5.weight": torch.zeros(2)},
        "__author__": "MOCO",
        "matching_heuristics": True,
    },
    "simsiam": lambda o, t: moco_file(
        {**under("module.encoder.", o), **mlp("module.encoder.fc"), **mlp("module.predictor")}
    ),
    "solo": lambda o, t: lightning(
        {**under("backbone.", o), **under("momentum_backbone.", t), **mlp("projector"), **mlp("momentum_projector")}
        | {**mlp("predictor"), "classifier.weight": torch.zeros(2, 2), "momentum_classifier.weight": torch.zeros(2, 2)}
    ),
    "solo.old": lambda o, t: lightning(
        {**under("encoder.", o), **under("momentum_encoder.", t), **mlp("projector"), **mlp("momentum_projector")}
    ),
    "swav": lambda o, t: {
        **under("module.", o),
        **mlp("module.projection_head"),
        "module.prototypes.weight": torch.zeros(3, 3),
    },
    "timm": lambda o, t: {"epoch": 9, "arch": "resnet18", "state_dict": dict(o), "state_dict_ema": dict(t)},
    "torchvision": lambda o, t: {**o, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
    "transformers": lambda o, t: transformers(o),
    "byol_pytorch": lambda o, t: {
        **under("net.", o),
        **under("online_encoder.net.", o),
        **mlp("online_encoder.projector"),
        **under("target_encoder.net.", t),
        **mlp("online_predictor"),
    },
    "vicregl": lambda o, t: {
        "epoch": 300,
        "model": {**under("module.backbone.", o), **mlp("module.maps_projector"), **mlp("module.projector")},
        "optimizer": optimizer(),
    },
    "vicregl.backbone": lambda o, t: dict(o),
    "vissl": lambda o, t: {
        "phase_idx": 199,
        "classy_state_dict": {
            "base_model": {"model": {"trunk": under("_feature_blocks.", o), "heads": mlp("0.clf")}, "meta": {}},
            "optimizer": optimizer(),
        },
    },
}
"""A checkpoint of each layout; of the target network too where the layout has one."""

# What names alone can't tell: the layout that `auto` takes instead.
LOOK_ALIKES = {
    "densecl.extracted": "mmselfsup.extracted",
    "detco": "timm",
    "regioncl": None,
    "vicregl.backbone": "timm",
}
