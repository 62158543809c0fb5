"""Mask R-CNN with a feature pyramid on any network of ours: torchvision's parts, the protocol's norms and sizes."""

from collections.abc import Callable, Sequence
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from ladder_hub.backbone import STAGE_NAMES, outside_pyramid
from ladder_hub.pyramid import with_fpn

TRAIN_SIZES = (640, 672, 704, 736, 768, 800)
"""Short sides of an image while training, one drawn for each; the last one is the test's."""
MAX_SIDE = 1333

_RATIOS = (0.5, 1.0, 2.0)
_BOX_MAP = 7


def mask_rcnn(
    model: nn.Module,
    num_classes: int,
    *,
    sizes: Sequence[int] = TRAIN_SIZES,
    max_side: int = MAX_SIDE,
    channels: int = 256,
    smallest_anchor: int = 32,
    rois: int = 512,
    proposals: int = 1000,
    detections: int = 100,
    norm: Callable[..., nn.Module] = nn.BatchNorm2d,
) -> MaskRCNN:
    """Mask R-CNN as self-supervised backbones are judged by it (mmselfsup's R50-FPN, 1x).

    Every parameter is trained, nothing is frozen, and there are norms in the FPN, in the box head (4 convolutions and
    a linear layer) and in the mask head (4 convolutions). The defaults are the protocol's, but for torchvision's smooth
    L1 loss (beta = 1/9), where mmdetection has plain L1.

    Args:
        model: From `create_model` or `build_backbone`, whole or with `features_only`. Parameters that no map depends on
            (a last norm before the pooling) are frozen.
        num_classes: With the background, as torchvision counts: labels are 1..num_classes - 1.
        sizes: Short sides while training; the last one is the test's.
        max_side: No long side exceeds it.
        channels: Of the FPN and both heads.
        smallest_anchor: In pixels, at stride 4; it doubles with every level.
        rois: Regions an image that the heads learn from.
        proposals: Regions an image that the RPN passes on.
        detections: At most so many an image.
        norm: Of FPN and heads.

    Returns:
        Takes a list of float images (3, H, W) in 0..1, and targets (boxes, labels, masks) in train mode; normalises and
        resizes them itself.

    Raises:
        BackboneError: one of the strides 4, 8, 16, 32 is missing.
    """
    idle = set(outside_pyramid(model, STAGE_NAMES))
    for name, parameter in model.named_parameters():
        if name in idle:
            parameter.requires_grad_(False)
    cfg: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    anchors = AnchorGenerator(tuple((smallest_anchor * 2**level,) for level in range(5)), (_RATIOS,) * 5)
    return MaskRCNN(
        with_fpn(model, channels, norm=norm),
        num_classes=None,
        min_size=tuple(sizes),
        max_size=max_side,
        image_mean=list(cfg.get("mean", IMAGENET_DEFAULT_MEAN)),
        image_std=list(cfg.get("std", IMAGENET_DEFAULT_STD)),
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(channels, len(_RATIOS)),
        rpn_post_nms_top_n_train=proposals,
        rpn_post_nms_top_n_test=proposals,
        box_head=FastRCNNConvFCHead((channels, _BOX_MAP, _BOX_MAP), [channels] * 4, [4 * channels], norm_layer=norm),
        box_predictor=FastRCNNPredictor(4 * channels, num_classes),
        box_batch_size_per_image=rois,
        box_detections_per_img=detections,
        mask_head=MaskRCNNHeads(channels, [channels] * 4, 1, norm_layer=norm),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes),
    )
