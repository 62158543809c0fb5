"""BYOL as lightly trains it, as a check from outside: `python benchmarks/lightly_byol.py data.train=IMAGES out=FILE`.

Network, budget, learning rate, momentum and least crop are those of tiny64_byol with any `key=value`. All that
trains is lightly's: augmentation (Pillow), heads, loss, LARS, schedules, moving average, as in its ImageNet benchmark.
`ladder-hub import FILE from=timm arch=NETWORK image_size=64 crop_pct=1.0 out=FOLDER` makes an artifact of the result.
"""

import copy
import math
import sys
import time

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, get_weight_decay_parameters, update_momentum
from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from lightly.utils.lars import LARS
from lightly.utils.scheduler import CosineWarmupScheduler, cosine_schedule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2.functional import to_pil_image

from ladder_hub.backbone import build_backbone, stage_channels
from ladder_hub.data.sources import Source, open_source
from ladder_hub.recipe import Recipe, load_recipe


class Pairs(Dataset):
    """Two views of each image."""

    def __init__(self, source: Source, recipe: Recipe) -> None:
        facts = {"input_size": recipe.data.image_size, "min_scale": recipe.views.crop_scale[0]}
        self.source, self.transform = source, BYOLTransform(BYOLView1Transform(**facts), BYOLView2Transform(**facts))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(to_pil_image(self.source.image(index)))


class Byol(nn.Module):
    """Online and target network, and the loss of both orders of the views."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        keys = recipe.heads
        self.backbone = build_backbone(recipe.model.backbone)
        self.project = BYOLProjectionHead(stage_channels(self.backbone)["res5"], keys.hidden, keys.out)
        self.predict = BYOLPredictionHead(keys.out, keys.hidden, keys.out)
        self.targets = copy.deepcopy(nn.ModuleList([self.backbone, self.project]))
        deactivate_requires_grad(self.targets)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, views: list[Tensor]) -> Tensor:
        """2 (-cos - cos), in [-4, 4]: ours without its constant 4."""
        with torch.no_grad():
            targets = [self.targets[1](self.targets[0](view)) for view in views]
        predictions = [self.predict(self.project(self.backbone(view))) for view in views]
        return 2 * (self.criterion(predictions[0], targets[1]) + self.criterion(predictions[1], targets[0]))

    def average(self, momentum: float) -> None:
        """Move the target."""
        for online, target in zip((self.backbone, self.project), self.targets, strict=True):
            update_momentum(online, target, m=momentum)


def optimiser(network: Byol, recipe: Recipe) -> LARS:
    """No decay and no adaptation of biases and norms."""
    decayed, others = get_weight_decay_parameters([network.backbone, network.project, network.predict])
    keys = recipe.optim
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return LARS(groups, lr=recipe.learning_rate, momentum=keys.momentum, weight_decay=keys.weight_decay)


def main(words: list[str]) -> None:
    """Train and save."""
    out = next(word.removeprefix("out=") for word in words if word.startswith("out="))
    recipe = load_recipe("tiny64_byol", [word for word in words if not word.startswith("out=")])
    torch.manual_seed(recipe.seed)
    network = Byol(recipe).train()
    loader = DataLoader(
        Pairs(open_source(recipe.data.train, split="train"), recipe), recipe.batch_size, shuffle=True, drop_last=True
    )
    steps = recipe.epochs * len(loader)
    moving = optimiser(network, recipe)
    rate = CosineWarmupScheduler(moving, math.ceil(recipe.optim.warmup_epochs * len(loader)), steps)
    begun, step = time.perf_counter(), 0
    for epoch in range(recipe.epochs):
        for views in loader:
            network.average(cosine_schedule(step, steps, recipe.target.base_momentum, 1.0))
            loss = network(views)
            loss.backward()
            moving.step()
            moving.zero_grad()
            rate.step()
            step += 1
            if step % 50 == 0 or step == steps:
                left = (time.perf_counter() - begun) / step * (steps - step) / 60
                at = f"epoch {epoch + 1}/{recipe.epochs} step {step}/{steps}"
                print(f"{at} loss {loss.item() + 4:.3f} left {left:.1f} min", flush=True)
    torch.save({"state_dict": network.backbone.state_dict()}, out)
    print(f"-> {out}, after {(time.perf_counter() - begun) / 60:.1f} min")


if __name__ == "__main__":
    main(sys.argv[1:])
