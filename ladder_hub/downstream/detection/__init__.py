"""`ladder-hub eval detect`: Mask R-CNN with FPN over the pyramid, on COCO JSONs."""

from ladder_hub.downstream.detection.model import mask_rcnn

__all__ = ["mask_rcnn"]
