"""The feature pyramid of a model: `python examples/pyramid.py runs/quickstart`."""

import sys

import torch

import ladder_hub

model = ladder_hub.create_model(sys.argv[1], features_only=True).eval()
with torch.inference_mode():
    for stride, feature_map in zip(model.feature_info.reduction(), model(torch.randn(1, 3, 224, 224)), strict=True):
        print(f"stride {stride:2}: {tuple(feature_map.shape)}")
