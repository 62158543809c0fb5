"""KNN of the network that trains: between epochs, and of the result; every process reads its share of the images."""

from torch import Tensor, nn

from ladder_hub.data.sources import StreamSource
from ladder_hub.downstream.features import Extractor
from ladder_hub.downstream.knn import Score, evaluate_knn
from ladder_hub.training.loop import Loop


class _Stopped(Exception):  # noqa: N818 - leaves a measurement, and no more
    pass


def score_if_due(loop: Loop) -> None:
    """The online kNN that is due between two epochs, unless the part of the run before this one has logged it."""
    state, recipe = loop.state, loop.recipe
    every = recipe.knn.every
    due = every and state.step and state.step % (every * state.steps_per_epoch) == 0
    logged = any("knn" in record and record["step"] == state.step for record in loop.log.records)
    if loop.inputs.val is None or not due or loop.world.from_first(logged):
        return
    score = score_network(loop, state.learner.online.backbone, "kNN", bank=recipe.knn.bank)
    loop.log.write({**loop.place(state.step), "knn": {"top1": score.top1, "top5": score.top5}})
    loop.display.say(f"epoch {state.epoch}: kNN top-1 {score.top1:.1%} (n = {score.n}{_shared(loop)})")


def _shared(loop: Loop) -> str:
    return f", {loop.inputs.overlap} of data.val in data.train too" if loop.inputs.overlap else ""


def score_network(loop: Loop, backbone: nn.Module, name: str, *, bank: int | None = None) -> Score:
    """Score res5 by kNN under the recipe's protocol; with `bank`, only so many training images vote.

    Raises:
        Interrupted: a process was asked to stop meanwhile.
    """
    train, val, world, keys = loop.inputs.train, loop.inputs.val, loop.world, loop.recipe
    assert val is not None
    assert not isinstance(train, StreamSource)
    task = loop.display.task(name, min(bank or len(train), len(train)) + len(val))

    def advance(images: int) -> None:
        task.advance(images * world.size)
        if loop.stop.received:
            raise _Stopped

    def join(part: Tensor) -> Tensor:
        loop.heed_signals()
        return world.cat(part)

    extractor = Extractor(
        size=keys.data.image_size,
        crop_pct=keys.data.crop_pct,
        device=world.device,
        workers=keys.data.workers,
        advance=advance,
        skip=loop.display.left_out,
        share=(world.rank, world.size),
        join=join,
    )
    world.share_buffers(backbone)
    try:
        (score,) = evaluate_knn(
            backbone, train, val, extractor, k=keys.knn.k, temperature=keys.knn.temperature, bank=bank
        )
    except _Stopped:
        # The others meet here the next time that they put their parts together.
        loop.heed_signals()
        raise
    task.close()
    return score
