"""What must hold before an artifact is published, and still holds afterwards."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.errors import UserError
from ladder_hub.publishing.card_lint import figure_problems, front_matter_problems, license_problems, read_card
from ladder_hub.publishing.config_lint import digest_problems, key_problems, recipe_problems
from ladder_hub.publishing.files import file_problems
from ladder_hub.publishing.round_trip import round_trip
from ladder_hub.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    problems: tuple[str, ...] = ()
    note: str = ""
    """What was not looked at, and why."""

    @property
    def result(self) -> str:
        """For people: `ok`, the note, or the problems."""
        return "; ".join(self.problems) or self.note or "ok"


def lint(folder: Path, *, libraries: bool = True) -> list[Check]:
    """Look at every part of an artifact; nothing is changed or sent.

    Args:
        folder: Of an artifact, or of the run it lies in.
        libraries: Load it with timm, transformers, torchvision and segmentation_models_pytorch too, each in a process
            of its own: half a minute on two cores.

    Raises:
        UserError: there is no model.
    """
    artifact = read_artifact(folder)
    checks = [_checked("files", lambda: file_problems(artifact.folder)), *contents(artifact)]
    # What ladder_hub itself refuses, others would load without a word: that is no news then.
    if libraries and not any(check.problems for check in checks if check.name == "weights"):
        checks += [_loaded(library, answer) for library, answer in round_trip(artifact.folder).items()]
    return checks


def contents(artifact: Artifact) -> Iterator[Check]:
    """The files against each other: weights, config, recipe, card, figures; of a model of other origin the weights."""
    yield _checked("weights", lambda: digest_problems(artifact))
    if not artifact.keeps_figures:
        yield Check("config and card", note="not written by ladder-hub: nothing to hold them against")
        return
    yield _checked("config", lambda: key_problems(artifact))
    if artifact.recipe:
        yield _checked("config against recipe", lambda: recipe_problems(artifact, _recipe(artifact)))
    else:
        yield Check("config against recipe", note="imported: no recipe")
    yield _checked("card", lambda: front_matter_problems(read_card(artifact), artifact))
    yield _checked("card against metrics", lambda: figure_problems(read_card(artifact), artifact))
    yield _checked("licences", lambda: license_problems(read_card(artifact), artifact))


def _recipe(artifact: Artifact) -> Recipe:
    return load_recipe(str(artifact.folder / "recipe.toml"))


def _checked(name: str, look: Callable[[], Iterable[str]]) -> Check:
    found: list[str] = []
    try:
        found.extend(look())
    except UserError as error:
        found.append(str(error))
    return Check(name, tuple(found))


def _loaded(library: str, answer: str) -> Check:
    if answer.startswith("skipped: "):
        return Check(library, note=answer.removeprefix("skipped: "))
    return Check(library) if answer == "equal" else Check(library, (f"{library}: {answer}",))
