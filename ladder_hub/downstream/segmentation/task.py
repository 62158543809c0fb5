"""`ladder-hub eval segment`: an FCN on the backbone, fine-tuned and judged by mIoU."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from ladder_hub.data.contents import named_by_content
from ladder_hub.data.look import look_first
from ladder_hub.data.pairs import PairSource, open_pairs
from ladder_hub.data.pairs_look import check_masks, look_at_masks, told_masks
from ladder_hub.data.photometric import normalise
from ladder_hub.device import seed_everything
from ladder_hub.downstream.finetune import Finetuned, finetune_on
from ladder_hub.downstream.finetune.task import Facts, Judge
from ladder_hub.downstream.metrics import entry
from ladder_hub.downstream.segmentation.confusion import Tally, class_iou, mean_iou, pixel_accuracy
from ladder_hub.downstream.segmentation.data import TrainMaker, ValMaker
from ladder_hub.downstream.segmentation.model import Fcn, fcn, segmentation_losses
from ladder_hub.downstream.segmentation.pictures import draw
from ladder_hub.downstream.segmentation.predict import Predictor, judged
from ladder_hub.downstream.segmentation.settings import DEFAULT, SAFE, SegmentRecipe, read_recipe
from ladder_hub.downstream.subject import Subject, open_subject
from ladder_hub.runtime.distributed import World
from ladder_hub.weights import write_whole


def eval_segment(
    model: str,
    recipe: str = DEFAULT,
    overrides: Sequence[str] = (),
    *,
    resume: str | Path | None = None,
    console: Console | None = None,
) -> Finetuned[SegmentRecipe] | None:
    """Fine-tune an FCN on a backbone and measure its mIoU.

    Args:
        model: `random:resnet50`, `timm:NAME.tag`, or whatever `create_model` takes.
        recipe: A recipe's name (`voc_512_20k`, `cityscapes_769_40k`, `voc_small`) or the path of a TOML file.
        overrides: `key=value`; `data.train` and `data.val` at least (see `data.pairs.open_pairs`), and `data.classes`
            where no `classes.txt` lies beside them.
        resume: The folder of an interrupted run, or `auto`: the one in `out`, where there is one.
        console: Where progress goes; None: standard error.

    Returns:
        The run, whose folder holds results.json (IoU by class, the confusion matrix), metrics.json, pictures/ and
        log.jsonl; None on all processes but the first.

    Raises:
        UserError: recipe, data or model can't be used; one line.
        RunError: the run failed or was interrupted; the message says how to go on.
    """
    return finetune_on(
        model, "segment", read_recipe, _build, recipe, overrides, resume=resume, safe=SAFE, console=console
    )


class SegmentNetwork(nn.Module):
    """An FCN that takes uint8 images.

    Args:
        network: The FCN.
        mean: Of the channels, for values in 0..1.
        std: Likewise.
    """

    def __init__(self, network: Fcn, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network, self._mean, self._std = network, tuple(mean), tuple(std)

    def forward(self, images: Tensor, masks: Tensor | None = None) -> Any:
        """Uint8 (B, 3, H, W); {name: loss} in train mode, else logits (B, K, H, W)."""
        logits = self.network(normalise(images, mean=self._mean, std=self._std))
        return logits["out"] if masks is None else segmentation_losses(logits, masks)


class SegmentTask:
    """What `finetune` runs. See `finetune.task.Task`."""

    name = "segment"

    def __init__(self, keys: SegmentRecipe, say: Callable[[str], None]) -> None:
        self._keys, data = keys, keys.data
        self._overlap: int | None = None
        self._train, self._val = open_pairs(data.train, data.val, classes=data.classes, values=data.values)
        for source in (self._train, self._val):
            if source.note:
                say(f"{source.spec}: {source.note}")
        self._subject = open_subject(keys.model, seed=keys.seed)
        self.network = _network(self._subject, keys, classes=self._train.classes)
        self.count, self.max_bad, self.workers = len(self._train), data.max_bad, data.workers
        self.steps = keys.steps
        self.maker = TrainMaker(self._train, keys.views, data.size, keys.seed)
        self.facts = {
            "data.train": self._named(self._train)["content"],
            "data.val": self._named(self._val)["content"],
            "data.classes": str(self._train.classes),
            "model": self._subject.weights,
        }

    def _named(self, source: PairSource) -> dict[str, Any]:
        return named_by_content(source, also=[source.masks()], workers=self._keys.data.workers)

    def look(self, say: Callable[[str], None]) -> None:
        """Tell what stands in the masks, and which images are in both sets.

        Raises:
            DataError: no honest figure can be made of them.
        """
        data = self._keys.data
        looks = []
        for key, source in (("data.train", self._train), ("data.val", self._val)):
            found = look_at_masks(source, workers=data.workers, until_all=data.absent == "refuse")
            say(f"{key}: {told_masks(found, source)}")
            looks.append((key, found, source))
        self._overlap = look_first(self._train, self._val, say, workers=data.workers)
        check_masks(looks, max_bad=data.max_bad, absent=data.absent == "allow")

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """SGD over everything that is trained, norms and biases too, at one rate."""
        keys = self._keys.optim
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return torch.optim.SGD(trained, keys.lr, momentum=keys.momentum, weight_decay=keys.weight_decay)

    def rate(self, step: int) -> float:
        """The recipe's polynomial."""
        return self._keys.rate(step)

    def evaluate(self, network: nn.Module, judge: Judge) -> list[Facts]:
        """MIoU and pixel accuracy; the first process writes results.json and the pictures."""
        keys, test = self._keys, self._keys.test
        align = keys.fcn.align_corners
        predictor = Predictor(network, side=test.window, stride=test.stride, align_corners=align, judge=judge)
        maker = ValMaker(self._val, keys.data.size)
        tally = judged(predictor, maker, judge, classes=self._val.classes, workers=self.workers)
        return judge.world.agreed(lambda: self._told(tally, predictor, maker, judge) if judge.world.is_first else [])

    def _told(self, tally: Tally, predictor: Predictor, maker: ValMaker, judge: Judge) -> list[Facts]:
        names, counts = class_labels(self._val), tally.total()
        by_class = {n: None if np.isnan(iou) else float(iou) for n, iou in zip(names, class_iou(counts), strict=True)}
        results = {"iou": by_class, "confusion": tally.matrix.tolist()}
        write_whole(judge.folder / "results.json", [json.dumps(results).encode()])
        self._draw(predictor, maker, names, judge.folder / "pictures")
        intervals = tally.intervals(seed=self._keys.seed)
        facts: Facts = {
            "protocol": self._keys.protocol_on(self._keys.published_protocol, classes=self._val.classes),
            "stage": "res5",
            "weights": self._subject.weights,
            "train": self._named(self._train),
            "val": self._named(self._val),
            "n": len(tally.by_image),
            "overlap": self._overlap,
        }
        miou, accuracy = mean_iou(counts), pixel_accuracy(counts)
        return [
            entry("miou", miou, ci95=intervals["miou"], **facts) | {"iou": by_class},
            entry("pixel_accuracy", accuracy, ci95=intervals["pixel_accuracy"], **facts),
        ]

    def _draw(self, predictor: Predictor, maker: ValMaker, names: Sequence[str], folder: Path) -> None:
        """Pictures of images from all over the set."""
        folder.mkdir(exist_ok=True)
        count = min(self._keys.pictures, len(self._val))
        for index in np.linspace(0, len(self._val) - 1, count).astype(int).tolist():
            found, _ = maker.make([index])
            for one in found:
                draw(folder / f"{index:05}.png", self._val.image(index), one.mask, predictor.classes(one).cpu(), names)


def class_labels(source: PairSource) -> list[str]:
    """The classes' names, else their numbers."""
    return source.class_names or [str(number) for number in range(source.classes)]


def _network(subject: Subject, keys: SegmentRecipe, *, classes: int) -> SegmentNetwork:
    """Heads start at random by the seed."""
    backbone = subject.rebuilt(output_stride=keys.fcn.stride)
    cfg: dict[str, Any] = subject.backbone.pretrained_cfg  # type: ignore[assignment]
    seed_everything(keys.seed)
    network = fcn(
        backbone,
        classes,
        channels=keys.fcn.channels,
        dropout=keys.fcn.dropout,
        align_corners=keys.fcn.align_corners,
        stride=keys.fcn.stride,
    )
    mean, std = cfg.get("mean", IMAGENET_DEFAULT_MEAN), cfg.get("std", IMAGENET_DEFAULT_STD)
    return SegmentNetwork(network, mean=mean, std=std)


def _build(keys: SegmentRecipe, world: World, say: Callable[[str], None]) -> SegmentTask:
    if not world.is_first:
        return SegmentTask(keys, lambda _: None)
    task = SegmentTask(keys, say)
    task.look(say)
    return task
