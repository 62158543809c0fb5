"""`ladder-hub eval segment`: an FCN on the pyramid, on masks."""

from ladder_hub.downstream.segmentation.model import fcn

__all__ = ["fcn"]
