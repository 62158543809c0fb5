"""Mask R-CNN on your COCO JSON: `python examples/mask_rcnn.py runs/quickstart TRAIN.json VAL.json IMAGES`.

IMAGES is the folder or the .tar that holds the images of both by their `file_name`. `ladder-hub eval detect` adds
mirroring, a schedule, resume, several GPUs, AP of masks with its interval, and pictures.
"""

import sys

import torch

import ladder_hub
from ladder_hub.downstream.detection import mask_rcnn
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_reader import read_coco
from ladder_hub.downstream.detection.data import DetectionSource
from ladder_hub.downstream.detection.metrics import average_precision

STEPS, BATCH = 40, 4

torch.manual_seed(0)
train, val = (read_coco(path, key=path) for path in sys.argv[2:4])
source = DetectionSource(CocoImages(sys.argv[4], train, key="IMAGES"), train, empty="drop")
# Small, for this example; the defaults are the sizes of the paper's protocol. One more class is the background.
small = {"sizes": (64,), "max_side": 96, "smallest_anchor": 16, "channels": 32, "rois": 32, "proposals": 100}
model = mask_rcnn(ladder_hub.create_model(sys.argv[1]), 1 + len(train.categories), **small)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)

for step in range(STEPS):
    picked = torch.randint(len(source), (BATCH,)).tolist()
    losses = model([source.image(index) / 255 for index in picked], [source.target(index) for index in picked])
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()
    if step % 20 == 19:
        print(f"step {step + 1}: " + ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items()))

model.eval()
images, results = CocoImages(sys.argv[4], val, key="IMAGES"), []
ids = list(val.categories)
with torch.inference_mode():
    for index in range(len(val)):
        found = model([images.image(index) / 255])[0]
        found["boxes"][:, 2:] -= found["boxes"][:, :2]  # COCO's boxes are x, y, width, height
        for box, label, score in zip(found["boxes"].tolist(), found["labels"], found["scores"].tolist(), strict=True):
            place = {"image_id": int(val.image_ids[index]), "category_id": ids[label - 1]}
            results.append({**place, "bbox": box, "score": score})
print(f"box AP50 {average_precision(val, results, 'box', indices=range(len(val))).values['ap50']:.2f}")
