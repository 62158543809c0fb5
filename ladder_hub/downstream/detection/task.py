"""`ladder-hub eval detect`: a Mask R-CNN on the backbone, fine-tuned and judged by AP."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from ladder_hub.data.contents import named_by_content
from ladder_hub.data.look import look_first
from ladder_hub.device import seed_everything
from ladder_hub.downstream.detection import mask_rcnn
from ladder_hub.downstream.detection.coco import check_same_categories
from ladder_hub.downstream.detection.coco_images import CocoImages
from ladder_hub.downstream.detection.coco_masks import library
from ladder_hub.downstream.detection.coco_reader import read_coco
from ladder_hub.downstream.detection.data import DetectionSource, Target, TrainMaker
from ladder_hub.downstream.detection.look import check_boxes, told_boxes, told_never_learned
from ladder_hub.downstream.detection.metrics import Kind, Precision, average_precision
from ladder_hub.downstream.detection.pictures import draw
from ladder_hub.downstream.detection.predict import Predicted, predict
from ladder_hub.downstream.detection.settings import DEFAULT, SAFE, DetectRecipe, read_recipe
from ladder_hub.downstream.finetune import Finetuned, finetune_on
from ladder_hub.downstream.finetune.task import Facts, Judge
from ladder_hub.downstream.metrics import entry
from ladder_hub.downstream.subject import Subject, open_subject
from ladder_hub.errors import RunError
from ladder_hub.runtime.distributed import World
from ladder_hub.weights import write_whole

_KINDS: tuple[Kind, ...] = ("box", "mask")


def eval_detect(
    model: str,
    recipe: str = DEFAULT,
    overrides: Sequence[str] = (),
    *,
    resume: str | Path | None = None,
    console: Console | None = None,
) -> Finetuned[DetectRecipe] | None:
    """Fine-tune a Mask R-CNN on a backbone and measure AP of boxes and masks.

    Args:
        model: `random:resnet50`, `timm:NAME.tag`, or whatever `create_model` takes.
        recipe: A recipe's name (`coco_1x`, `street4`, `nuclei`) or the path of a TOML file.
        overrides: `key=value`; `data.train`, `data.val` (COCO JSONs) and `data.images` (a folder or a `.tar`) at least.
        resume: The folder of an interrupted run, or `auto`: the one in `out`, where there is one.
        console: Where progress goes; None: standard error.

    Returns:
        The run, whose folder holds results.json (COCO's results format), metrics.json, pictures/ and log.jsonl; None on
        all processes but the first.

    Raises:
        UserError: recipe, data or model can't be used; one line.
        RunError: the run failed or was interrupted; the message says how to go on.
    """
    library()
    return finetune_on(
        model, "detect", read_recipe, _build, recipe, overrides, resume=resume, safe=SAFE, console=console
    )


class DetectionNetwork(nn.Module):
    """A Mask R-CNN that takes uint8 images."""

    def __init__(self, detector: MaskRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: list[Tensor], targets: list[Target] | None = None) -> Any:
        """Uint8 (3, H, W) each; {name: loss} in train mode, else torchvision's predictions."""
        return self.detector([image.float() / 255 for image in images], targets)


class DetectTask:
    """What `finetune` runs. See `finetune.task.Task`."""

    name = "detect"

    def __init__(self, keys: DetectRecipe) -> None:
        self._keys, data = keys, keys.data
        self._overlap: int | None = None
        train, self._val = read_coco(data.train, key="data.train"), read_coco(data.val, key="data.val")
        check_same_categories(train, self._val)
        self._train_images = CocoImages(data.images, train, key="data.images")
        source = DetectionSource(self._train_images, train, empty=data.empty)
        where = ("data.val_images", data.val_images) if data.val_images else ("data.images", data.images)
        self._val_images = CocoImages(where[1], self._val, key=where[0])
        self._subject = open_subject(keys.model, seed=keys.seed)
        self._train = train
        self.network = _network(self._subject, keys, classes=len(train.categories))
        self.count, self.max_bad, self.workers = len(source), data.max_bad, data.workers
        self._epoch_steps = -(-self.count // keys.batch_size)
        self.steps = keys.epochs * self._epoch_steps
        self.maker = TrainMaker(source, keys.seed, data.flip)
        self.facts = {
            "data.train": self._named(self._train_images)["content"],
            "data.val": self._named(self._val_images)["content"],
            "model": self._subject.weights,
        }

    def _named(self, images: CocoImages) -> dict[str, Any]:
        annotations = images.fingerprint()["digest"]
        return named_by_content(images, told=annotations, workers=self._keys.data.workers)

    def look(self, say: Callable[[str], None]) -> None:
        """Tell what is annotated, and which images are in both sets.

        Raises:
            CocoError: no honest figure can be made of them.
        """
        for key, coco in (("data.train", self._train), ("data.val", self._val)):
            say(f"{key}: {told_boxes(coco)}")
        if line := told_never_learned(self._train, self._val):
            say(line)
        check_boxes(self._train, self._val)
        workers = self._keys.data.workers
        self._overlap = look_first(self._train_images, self._val_images, say, workers=workers)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """SGD over everything that is trained, norms and biases too."""
        keys = self._keys.optim
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return torch.optim.SGD(trained, keys.lr, momentum=keys.momentum, weight_decay=keys.weight_decay)

    def rate(self, step: int) -> float:
        """A tenth after each milestone; before, a line from `warmup_from` up."""
        keys = self._keys.optim
        rate = 0.1 ** sum(step >= milestone * self._epoch_steps for milestone in keys.milestones)
        if step < keys.warmup_steps:
            rate *= keys.warmup_from + (1 - keys.warmup_from) * step / keys.warmup_steps
        return rate

    def evaluate(self, network: nn.Module, judge: Judge) -> list[Facts]:
        """AP of boxes and masks; the first process writes results.json and the pictures."""
        found = predict(network, self._val_images, self._val, judge, workers=self.workers)
        return judge.world.agreed(lambda: self._judged(found, judge) if judge.world.is_first else [])

    def _judged(self, found: Predicted, judge: Judge) -> list[Facts]:
        if not found.indices:
            raise RunError(f"not one image of {self._val.path} can be decoded")
        write_whole(judge.folder / "results.json", [json.dumps(found.results).encode()])
        self._draw(found, judge.folder / "pictures")
        entries: list[Facts] = []
        for kind in _KINDS:
            precision = average_precision(
                self._val, found.results, kind, indices=found.indices, detections=self._keys.detector.detections
            )
            entries += self._entries(precision)
        return entries

    def _entries(self, precision: Precision) -> list[Facts]:
        classes = len(self._val.categories)
        protocol = self._keys.protocol_on(self._keys.published_protocol, classes=classes)
        return [
            entry(
                f"{precision.kind}_{name}",
                value,
                ci95=precision.intervals.get(name),
                n=precision.n,
                protocol=protocol,
                stage="pyramid",
                weights=self._subject.weights,
                train=self._named(self._train_images),
                val=self._named(self._val_images),
                overlap=self._overlap,
            )
            for name, value in precision.values.items()
        ]

    def _draw(self, found: Predicted, folder: Path) -> None:
        """Pictures of the first images in which there is anything to find."""
        folder.mkdir(exist_ok=True)
        for index in [index for index in found.indices if len(self._val.of_image(index))][: self._keys.pictures]:
            image = int(self._val.image_ids[index])
            own = [result for result in found.results if result["image_id"] == image]
            draw(folder / f"{image}.png", self._val_images, self._val, own, index)


def _network(subject: Subject, keys: DetectRecipe, *, classes: int) -> DetectionNetwork:
    """Heads start at random by the seed."""
    seed_everything(keys.seed)
    sizes = keys.detector.model_dump()
    return DetectionNetwork(mask_rcnn(subject.backbone, 1 + classes, **sizes))


def _build(keys: DetectRecipe, world: World, say: Callable[[str], None]) -> DetectTask:
    task = DetectTask(keys)
    if world.is_first:
        task.look(say)
    return task
