"""FCN on your masks: `python examples/fcn.py runs/quickstart TRAIN VAL`.

TRAIN and VAL are folders with images/ and masks/ (PNGs of the same names, pixel = class, 255 = not counted) and
classes.txt, a name a line. `ladder-hub eval segment` adds augmentation, a schedule, resume and several GPUs.
"""

import sys

import torch
from torch.nn.functional import interpolate

import ladder_hub
from ladder_hub.data.pairs import open_pairs
from ladder_hub.data.photometric import normalise
from ladder_hub.downstream.segmentation.confusion import areas, class_iou, confusion
from ladder_hub.downstream.segmentation.model import fcn, segmentation_losses

STEPS, BATCH, SIDE = 40, 8, 48

torch.manual_seed(0)
train, val = open_pairs(sys.argv[2], sys.argv[3])
# The same weights at stride 8 (dilated) instead of 32; the two heads are new.
model = fcn(ladder_hub.create_model(sys.argv[1], output_stride=8), train.classes, channels=64)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)


def batch(source, indices):
    """Normalised images (B, 3, SIDE, SIDE) and masks (B, SIDE, SIDE)."""
    pairs = [source.pair(index) for index in indices]
    images = torch.stack([interpolate(pair.image[None].float(), (SIDE, SIDE))[0] for pair in pairs])
    masks = torch.stack([interpolate(pair.mask[None, None], (SIDE, SIDE))[0, 0] for pair in pairs])
    return normalise(images / 255), masks


for step in range(STEPS):
    images, masks = batch(train, torch.randint(len(train), (BATCH,)).tolist())
    losses = segmentation_losses(model(images), masks)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
    if step % 10 == 9:
        print(f"step {step + 1}: " + ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items()))

model.eval()
found = torch.zeros(train.classes, train.classes, dtype=torch.int64)
with torch.inference_mode():
    for index in range(len(val)):
        images, masks = batch(val, [index])
        found += confusion(masks, model(images)["out"].argmax(1), train.classes)
for name, iou in zip(train.class_names, class_iou(areas(found).numpy()), strict=True):
    print(f"IoU of {name}: {iou:.2f}")
