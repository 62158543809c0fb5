"""A sweep: which of its runs and evaluations are still to be done, doing them, and its table."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ladder_hub.errors import RunError, UserError
from ladder_hub.models import read_config
from ladder_hub.progress import Display
from ladder_hub.recipe import Recipe, load_recipe
from ladder_hub.runtime.lock import sole_user
from ladder_hub.runtime.signals import StopSignals
from ladder_hub.settings import setting
from ladder_hub.sweeps.begun import Begun, begin, read_begun
from ladder_hub.sweeps.cells import Setting, settings_of
from ladder_hub.sweeps.evaluations import Evaluation, Figures, parse, read_figures
from ladder_hub.sweeps.grid import Sweep, load_sweep
from ladder_hub.sweeps.jobs import Job
from ladder_hub.sweeps.places import UNTRAINED, Place
from ladder_hub.sweeps.pool import Pool
from ladder_hub.sweeps.settings import SweepSettings, read_settings
from ladder_hub.sweeps.table import Table, read_table
from ladder_hub.sweeps.written import write_table
from ladder_hub.training.resume import asked_for


@dataclass(frozen=True)
class Swept:
    """What a sweep has come to."""

    table: Table
    files: tuple[Path, ...] = ()
    """The table's, where it was written."""
    failures: tuple[str, ...] = ()
    """A line for each run or evaluation that failed."""

    def check(self) -> None:
        """Fail where anything has.

        Raises:
            RunError: it names them.
        """
        if self.failures:
            raise RunError(f"{len(self.failures)} failed, the same command tries again: {'; '.join(self.failures)}")


@dataclass(frozen=True)
class Run:
    """One training run of the grid."""

    setting: Setting
    place: Place
    recipe: Recipe
    finished: bool

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"{self.setting.cell.name} seed {self.place.seed}"

    @property
    def network(self) -> str:
        """What its untrained twin is called, a folder too."""
        return f"{UNTRAINED}-{self.recipe.model.backbone}-{self.recipe.data.image_size}px"

    def job(self) -> Job:
        """The command that trains it, or goes on."""
        words = ("train", f"recipe={self.setting.base}", *self.setting.overrides, *_own(self.place), "resume=auto")
        return Job(self.label, words, self.place.log, self.place.run, cost=self.recipe.epochs)


def sweep(name: str, words: Sequence[str] = (), *, console: Console | None = None) -> Swept:
    """Train and measure what is missing of a sweep, and write its table.

    Args:
        name: A shipped sweep's name, or the path of a TOML file.
        words: `key=value`: those of `SweepSettings`, and those of all runs.
        console: Where progress goes; None: standard error.

    Returns:
        The table, and what failed.

    Raises:
        UserError: a key, a cell or the folder can't be used; nothing was started.
        Interrupted: stopped by a signal; the same call goes on.
    """
    grid = load_sweep(name)
    settings, out, overrides = read_settings(grid.name, words)
    if settings.show:
        read_begun(out)
        return Swept(read_table(grid, out))
    runs = _runs(grid, settings, out, overrides)
    evaluations = [parse(text, runs[0].recipe) for text in settings.evals]
    begin(out, Begun(sweep=grid.name, scale=settings.scale, keys=tuple(overrides)))
    with sole_user(out), Display(console or Console(file=sys.stderr)) as display, StopSignals() as stop:
        pool = Pool(settings.jobs, display, stop)
        missing = [run.job() for run in runs if not run.finished]
        if len(missing) < len(runs):
            display.say(f"{len(runs) - len(missing)} of {len(runs)} runs are finished already")
        failures = pool.run(missing, "runs")
        failures += pool.run(_evaluations(runs, evaluations, out, floor=settings.floor), "evaluations")
        table = read_table(grid, out)
        return Swept(table, write_table(table, out), tuple(failures))


def _runs(grid: Sweep, settings: SweepSettings, out: Path, overrides: Sequence[str]) -> list[Run]:
    """Every run that was asked for, one seed of all cells after the other.

    Raises:
        UserError: no such cell, or a run in `out` is another than was asked for.
    """
    found = settings_of(grid, settings.scale, overrides)
    names = [setting.cell.name for setting in found]
    for cell in settings.cells:
        if cell not in names:
            raise UserError(f"cells: {grid.name} has no {cell!r}; it has {', '.join(names)}")
    some = [setting for setting in found if not settings.cells or setting.cell.name in settings.cells]
    return [_run(setting, Place(out / setting.cell.name, seed)) for seed in settings.seeds for setting in some]


def _run(setting: Setting, place: Place) -> Run:
    try:
        asked = asked_for(setting.base, [*setting.overrides, *_own(place)], "auto")
    except UserError as error:
        raise UserError(f"{place.run}: {error}") from None
    finished = place.digest() is not None and asked.folder is not None
    if finished:
        trained = read_config(place.run / "artifact")["ladder_hub"].get("recipe_fingerprint")
        finished = trained == asked.recipe.fingerprint()
        here = asked.recipe.published().data.train
        before = load_recipe(str(place.run / "recipe.toml")).published().data.train
        if here != before:
            raise UserError(f"{place.run} was trained on data.train={before}, not {here}; name another out=FOLDER")
    return Run(setting, place, asked.recipe, finished)


def _own(place: Place) -> tuple[str, ...]:
    return f"seed={place.seed}", setting("out", str(place.run))


def _evaluations(runs: Sequence[Run], evaluations: Sequence[Evaluation], out: Path, *, floor: bool) -> list[Job]:
    """What is not measured yet of the runs that are finished, and before them of their untrained networks."""
    finished = [run for run in runs if run.place.digest()]
    twins = {run.network: run for run in reversed(finished)} if floor else {}
    seeds = dict.fromkeys(run.place.seed for run in finished)
    floors = [(Place(out / name, seed), f"random:{run.place.run}") for name, run in twins.items() for seed in seeds]
    measured = [*floors, *((run.place, str(run.place.run)) for run in finished)]
    jobs = [_evaluation(place, model, each) for place, model in measured for each in evaluations]
    return [job for job in jobs if job is not None]


def _evaluation(place: Place, model: str, evaluation: Evaluation) -> Job | None:
    """The command that measures `model`; None where its figures are there."""
    weights = place.digest() or UNTRAINED
    path = place.beside(f"{evaluation.slug}.json")
    if path.is_file() and read_figures(path).weights == weights:
        return None

    def take(said: str) -> None:
        Figures(evaluation.text, weights, json.loads(said)).write(path)

    words = evaluation.words(model, place.seed, place.beside(evaluation.slug))
    label = f"{evaluation.verb} of {place.cell.name} seed {place.seed}"
    return Job(label, words, place.beside(f"{evaluation.slug}.log"), place.run, take=take)
