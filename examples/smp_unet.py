"""A U-Net of segmentation_models_pytorch on a model of ours: `python examples/smp_unet.py runs/quickstart`.

segmentation_models_pytorch builds its encoder by timm, from the folder that `resolve` finds (and downloads, for a model
of the Hub). Put your images and masks where the squares are.
"""

import sys

import segmentation_models_pytorch as smp
import torch

from ladder_hub.models import resolve

torch.manual_seed(0)
unet = smp.Unet(f"tu-local-dir:{resolve(sys.argv[1])}", encoder_weights=True, classes=2)
optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3)
criterion = smp.losses.DiceLoss("multiclass")

masks = torch.zeros(8, 64, 64, dtype=torch.int64)  # a bright square on noise is class 1
for mask, (top, left) in zip(masks, torch.randint(0, 32, (8, 2)).tolist(), strict=True):
    mask[top : top + 32, left : left + 32] = 1
images = 0.3 * torch.randn(8, 3, 64, 64) + masks[:, None]

for step in range(8):
    loss = criterion(unet(images), masks)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: Dice loss {loss.item():.3f}")
