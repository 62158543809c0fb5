"""A pyramid as ONNX, for any batch and image size: `python examples/onnx_pyramid.py runs/quickstart pyramid.onnx`.

`pip install onnx onnxscript onnxruntime`; the last one only runs what was written.
"""

import sys

import torch

import ladder_hub

model = ladder_hub.create_model(sys.argv[1], features_only=True).eval()
images = torch.randn(2, 3, 128, 128)
names = [f"res{stride.bit_length() - 1}" for stride in model.feature_info.reduction()]  # stride 4 is res2
sizes = {0: torch.export.Dim("batch"), 2: 32 * torch.export.Dim("rows"), 3: 32 * torch.export.Dim("columns")}
program = torch.onnx.export(
    model, (images,), input_names=["images"], output_names=names, dynamic_shapes=(sizes,), dynamo=True, verbose=False
)
program.save(sys.argv[2])
print(f"{sys.argv[2]}: images to {', '.join(names)}")

try:
    import onnxruntime
except ImportError:
    sys.exit()
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
other = torch.randn(1, 3, 96, 160)
with torch.inference_mode():
    expected = model(other)
for name, ours, theirs in zip(names, expected, session.run(names, {"images": other.numpy()}), strict=True):
    print(f"{name} {tuple(theirs.shape)}: differs by {(ours - torch.from_numpy(theirs)).abs().max():.1e} at most")
