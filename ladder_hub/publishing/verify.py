"""`ladder-hub verify`: is a model still what was published, and does it still reach its figures?"""

from collections.abc import Sequence
from typing import Any

from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.card import data_name, percent
from ladder_hub.documents import without_controls
from ladder_hub.downstream.evaluation import eval_knn
from ladder_hub.errors import UserError
from ladder_hub.metrics_file import Metric, names_content
from ladder_hub.models import create_model, resolve
from ladder_hub.publishing.lint import Check, contents

_KNN = "knn:"


class VerifyError(UserError):
    """A model that is not what it says it is."""


def verify(model: str, overrides: Sequence[str] = ()) -> list[Check]:
    """Look at a model's digests, keys, shapes, config, recipe and card; with data, measure kNN again.

    Nothing is written: figures measured here are compared with the card's and forgotten.

    Args:
        model: whatever `create_model` takes; from the Hub it is fetched first, and checked as it comes.
        overrides: `key=value` for `eval knn`: `data.val=IMAGES`, `data.train=IMAGES`, `k`, `stage`. None: no measuring.

    Raises:
        UserError: there is no such model, or it can't be loaded at all.
    """
    artifact = read_artifact(resolve(model))
    checks = list(contents(artifact))
    if not any(check.problems for check in checks if check.name == "weights"):
        network: Any = create_model(model, pretrained=True)
        checks[0] = Check("weights", note=_receipt(network.load_receipt))
        if overrides:
            checks += _measured_again(model, artifact, overrides)
    return checks


def _receipt(receipt: Any) -> str:
    what = "equal to the published one" if receipt.verified else "no digest published to compare with"
    return f"{receipt.matched} tensors of {receipt.architecture}, sha256 {receipt.sha256[:16]}… {what}"


def _measured_again(model: str, artifact: Artifact, overrides: Sequence[str]) -> list[Check]:
    entries = eval_knn(model, overrides, kept=False)
    return [compared(entry, artifact.metrics) for entry in entries]


def compared(new: Metric, published: Sequence[Metric]) -> Check:
    """One figure beside the card's of the same protocol, stage and metric, if that is of the same images.

    The check has a problem where it lies outside the published 95 % interval.
    """
    name = f"{new['protocol']} {new['stage']} {new['metric']}"
    value = f"{percent(new['value'])} % measured"
    same = [old for old in published if all(old[key] == new[key] for key in ("protocol", "stage", "metric"))]
    if not same:
        return Check(name, note=f"{value}; the card has no such figure")
    for old in same:
        by = "content" if names_content(old) and names_content(new) else "digest"
        if _digests(old, by) == _digests(new, by):
            return _judged(name, value, new, old)
    other = without_controls(data_name(same[0]["data"]["val"]))
    return Check(name, note=f"{value}; not to be compared: the card's is of other images, {other}")


def _judged(name: str, value: str, new: Metric, old: Metric) -> Check:
    low, high = old.get("ci95") or (old["value"], old["value"])
    said = f"{percent(old['value'])} % on the card, 95 % interval {percent(low)} to {percent(high)}"
    if low <= new["value"] <= high:
        return Check(name, note=f"{value}, {said}")
    return Check(name, (f"{name}: {value}, {said}",))


def _digests(entry: Metric, by: str) -> list[Any]:
    """Of both sets: of their content; of their listing for a figure from before content was named."""
    data = entry["data"]
    return [part.get(by) if isinstance(part, dict) else part for part in (data.get("train"), data["val"])]
