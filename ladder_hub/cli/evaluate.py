"""`eval`: what a model is worth."""

import typer

from ladder_hub.cli.tables import print_metrics
from ladder_hub.cli.words import AsJson, Keys, Model, take

evaluate = typer.Typer(help="Measure a model under a named protocol.", no_args_is_help=True)


@evaluate.command()
def knn(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Nearest neighbours on frozen features: data.train=IMAGES data.val=IMAGES stage=res5|all k=[20,200]."""
    from ladder_hub.downstream.evaluation import eval_knn

    print_metrics(eval_knn(model, keys or []), as_json=as_json)


@evaluate.command()
def linear(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Linear classifiers on frozen features: recipe=NAME data.train=IMAGES data.val=IMAGES stage=res5|all out=FOLDER.

    resume=FOLDER goes on with an interrupted one; cache=true learns on centre crops whose features are read once.
    """
    from ladder_hub.downstream.linear.settings import DEFAULT
    from ladder_hub.downstream.linear.task import eval_linear

    given, overrides = take(keys or [], "recipe", "resume")
    run = eval_linear(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        print_metrics(run.metrics, as_json=as_json)


@evaluate.command()
def detect(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """Mask R-CNN fine-tuned on COCO JSONs: recipe=NAME data.train=JSON data.val=JSON data.images=FOLDER out=FOLDER.

    data.images may be a .tar; data.val_images=... where the images of val lie elsewhere; resume=FOLDER goes on.
    """
    from ladder_hub.downstream.detection.settings import DEFAULT
    from ladder_hub.downstream.detection.task import eval_detect

    given, overrides = take(keys or [], "recipe", "resume")
    run = eval_detect(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        print_metrics(run.metrics, as_json=as_json)


@evaluate.command()
def segment(model: Model, keys: Keys = None, as_json: AsJson = False) -> None:
    """FCN fine-tuned on masks: recipe=NAME data.train=PAIRS data.val=PAIRS data.classes=21 steps=2000 out=FOLDER.

    PAIRS is a .tar of <key>.jpg and <key>.png, a folder with images and masks, or a list. resume=FOLDER goes on.
    """
    from ladder_hub.downstream.segmentation.settings import DEFAULT
    from ladder_hub.downstream.segmentation.task import eval_segment

    given, overrides = take(keys or [], "recipe", "resume")
    run = eval_segment(model, given.get("recipe", DEFAULT), overrides, resume=given.get("resume"))
    if run is not None:
        print_metrics(run.metrics, as_json=as_json)
