"""A plan as a person reads it: groups of aligned lines. Decimal units: a GB is 10^9 bytes, M and G likewise."""

from collections.abc import Mapping, Sequence

from ladder_hub.progress import clock
from ladder_hub.runtime.checkpoint import KEPT
from ladder_hub.training.paper import DEVICES, EPOCHS, HOURS, Difference
from ladder_hub.training.plan import Plan
from ladder_hub.training.probe import Probe

_WIDTH = 20


def render(plan: Plan) -> str:
    """The plan in lines of about 100 characters."""
    groups = (_head(plan), _parameters(plan), _flops(plan), _memory(plan), _batch(plan), _run(plan), _paper(plan))
    return "\n\n".join("\n".join(group) for group in (*groups, _assumed(plan)) if group)


def _head(plan: Plan) -> list[str]:
    recipe = plan.recipe
    ladder = ", ".join(f"{level.name} x {level.weight:g}" for level in recipe.ladder)
    return [
        f"{recipe.name}: {recipe.method} ({ladder})",
        f"{recipe.model.backbone} at {recipe.data.image_size} pixels, {recipe.precision}, "
        f"on {plan.layout.processes} x {plan.device.name}",
    ]


def _parameters(plan: Plan) -> list[str]:
    rows = {name: (count.total / 1e6, count.trained / 1e6) for name, count in plan.parameters.items()}
    return _table("parameters, M", ["", "trained"], rows)


def _flops(plan: Plan) -> list[str]:
    f = plan.flops
    rows = {
        "backbone": (f.backbone_forward, f.target_backbone, f.backbone_backward),
        "heads": (f.heads_forward, f.target_heads, f.heads_backward),
        "matching": (f.matching, 0.0, 0.0),
        "all": (f.forward, f.target, f.backward),
    }
    # Matching is too little to be seen on small grids; it is in the sum all the same.
    scaled = {name: [v / 1e9 for v in values] for name, values in rows.items() if sum(values) > f.total / 1e4}
    lines = _table("GFLOPs an image", ["forward", "target", "backward"], scaled)
    return [*lines, f"  {f.total / 1e9:.4g} in all. An image is two views; a multiply-add is 2 FLOPs"]


def _memory(plan: Plan) -> list[str]:
    m = plan.memory
    parts = ("weights", "target", "gradients", "momentum", "activations", "working")
    unit, divisor = ("GB", 1e9) if m.total >= 1e9 else ("MB", 1e6)
    rows = {part: [getattr(m, part) / divisor] for part in (*parts, "total")}
    of = f"of {plan.fit.available / 1e9:.1f} GB to plan with ({plan.device.memory / 1e9:.1f} less a tenth"
    of += f", over {plan.layout.processes} processes)" if plan.device.shared and plan.layout.processes > 1 else ")"
    largest = f"micro_batch={plan.fit.largest_micro_batch}" if plan.fit.largest_micro_batch else "no micro_batch"
    verdict = f"fits; the largest that does: {largest}" if plan.fit.fits else f"DOES NOT FIT; {largest} does"
    return [*_table(f"memory, {unit} a device", [""], rows), f"  {of}: {verdict}"]


def _batch(plan: Plan) -> list[str]:
    layout, recipe = plan.layout, plan.recipe
    passes = "1 pass" if layout.accumulation == 1 else f"{layout.accumulation} passes"
    return _facts(
        "batch",
        {
            "images a step": f"{layout.batch_size:,} = {_plural(layout.processes, 'device')} x {passes} "
            f"x {layout.micro_batch} images",
            "BatchNorm": f"{layout.batch_norm}: statistics of {layout.statistics_of:,} images a view",
            **_part_of_the_batch(plan),
            "learning rate": f"{recipe.learning_rate:g} at its peak ({recipe.optim.base_lr:g} for 256 images)",
        },
    )


def _part_of_the_batch(plan: Plan) -> dict[str, str]:
    layout = plan.layout
    if layout.statistics_of == layout.batch_size:
        return {}
    parts = layout.batch_size // layout.statistics_of
    return {
        "": f"a batch in one pass would give statistics of all of it, here each is of 1/{parts}; nothing else changes"
    }


def _run(plan: Plan) -> list[str]:
    length, recipe = plan.length, plan.recipe
    facts = {
        "images an epoch": f"{length.steps_an_epoch * recipe.batch_size:,} of {length.samples:,}",
        "steps": f"{length.steps:,} = {recipe.epochs} epochs x {length.steps_an_epoch:,}, "
        f"{length.warmup_steps:,} of them warm-up",
        **_speed(plan),
        "checkpoints": f"{_bytes(plan.checkpoint)} each; {KEPT} are kept, and one more while it is written",
    }
    return _facts("run", facts)


def _speed(plan: Plan) -> dict[str, str]:
    speed = plan.speed
    if speed is None or plan.hours is None or plan.device_hours is None:
        return {"images a second": "not known"}
    how = "measured: a probe" if speed.efficiency is None else f"assumed: {speed.efficiency:.0%} of the peak"
    epoch = plan.hours * 3600 / plan.recipe.epochs
    hours = f"{_hours(plan.hours)}; {_hours(plan.device_hours)} of devices" if plan.layout.processes > 1 else ""
    facts = {
        "images a second": f"{speed.samples_per_second:,.0f} ({how}), each in two views",
        "time": f"{hours or _hours(plan.hours)}; {clock(epoch)} an epoch; without kNN",
    }
    if speed.probe is not None:
        one = speed.probe
        data = "no data of one's own" if one.data is None else f"loader alone {one.data:,.0f}"
        facts["probe"] = (
            f"{one.passes} passes on one device: network {one.compute:,.0f} images a second, {data}, "
            f"together {one.together:,.0f}"
        )
        facts |= _compiling(plan, one)
    return facts


def _compiling(plan: Plan, probe: Probe) -> dict[str, str]:
    """Whether compiling pays in this run."""
    if not plan.recipe.compile:
        return {}
    if (found := probe.compiling) is None:
        return {"compile": "failed here: the network was measured as it is, and a run would go on so"}
    images = plan.length.steps * plan.layout.batch_size / plan.layout.processes
    saved = images / probe.compute * (found.gain - 1) - found.seconds
    pays = f"saves {_hours(saved / 3600)} of the run"
    loses = f"costs {_hours(-saved / 3600)} of the run: leave compile=true out here"
    return {
        "compile": f"took {_hours(found.seconds / 3600)}, then {found.gain:.2f} times as fast as without; "
        + (pays if saved > 0 else loses)
    }


def _paper(plan: Plan) -> list[str]:
    near = plan.paper
    stated = [d for d in near.differences if d.stated]
    facts = {}
    if near.near:
        facts["nearest"] = f"{near.setting}" + ("" if near.differences else ": nothing differs")
        facts |= _differing(near.differences)
    else:
        facts["nearest"] = f"none: the paper's are on other networks and images; by its ladder {near.setting}"
        facts |= _differing(stated)
        if others := len(near.differences) - len(stated):
            facts["and"] = f"{others} keys on which the paper is silent (--json lists them)"
    if near.near and plan.recipe.epochs == EPOCHS:
        facts["its cost"] = f"about {HOURS} hours on {DEVICES}, as the paper says"
    return _facts("paper", facts)


def _differing(differences: Sequence[Difference]) -> dict[str, str]:
    return {
        d.key: f"{_value(d.here)}; {'paper' if d.stated else 'shipped, paper silent'}: {_value(d.there)}"
        for d in differences
    }


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _assumed(plan: Plan) -> list[str]:
    return ["assumed", *(f"  {line}" for line in plan.assumptions)] if plan.assumptions else []


def _hours(hours: float) -> str:
    return f"{hours * 60:.1f} minutes" if hours < 1 else f"{hours:,.1f} hours"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _facts(title: str, facts: dict[str, str]) -> list[str]:
    width = max(_WIDTH, *(len(key) + 2 for key in facts))
    return [title, *(f"  {key:<{width}}{value}" for key, value in facts.items())]


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[str]:
    """Numbers in columns, in so many decimals that the largest has four figures."""
    highest = max(max(values) for values in rows.values())
    decimals = next((d for d in (1, 2, 3) if highest >= 10 ** (3 - d)), 4)
    lines = [f"{title:<{_WIDTH}}" + "".join(f"{column:>10}" for column in columns)]
    for name, values in rows.items():
        lines.append(f"  {name:<{_WIDTH - 2}}" + "".join(f"{value:>10,.{decimals}f}" for value in values))
    return [line.rstrip() for line in lines]
