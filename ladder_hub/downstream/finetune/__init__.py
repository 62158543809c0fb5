"""A long supervised run on top of a backbone: what detection, segmentation and linear classifiers share."""

from ladder_hub.downstream.finetune.on_model import finetune_on
from ladder_hub.downstream.finetune.run import Finetuned, finetune
from ladder_hub.downstream.finetune.settings import SAFE_ON_RESUME, FinetuneKeys, LogKeys
from ladder_hub.downstream.finetune.task import Batch, Judge, Task

__all__ = [
    "SAFE_ON_RESUME",
    "Batch",
    "FinetuneKeys",
    "Finetuned",
    "Judge",
    "LogKeys",
    "Task",
    "finetune",
    "finetune_on",
]
