"""`ladder-hub push`: an artifact onto the Hub, after everything about it was looked at."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ladder_hub.artifact.changing import restate
from ladder_hub.artifact.reading import Artifact, read_artifact
from ladder_hub.card import percent
from ladder_hub.data.overlap import MOST_OVERLAP
from ladder_hub.documents import plain
from ladder_hub.errors import UserError
from ladder_hub.hub import endpoint
from ladder_hub.metrics_file import names_content
from ladder_hub.publishing.files import artifact_files
from ladder_hub.publishing.lint import Check, lint
from ladder_hub.publishing.outgoing import outgoing
from ladder_hub.publishing.remote import Remote, Sent
from ladder_hub.settings import Section, settings_from

Tell = Callable[[str], object]
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_REF = re.compile(r"\w[\w./-]{0,99}", re.ASCII)


class PushError(UserError):
    """An artifact that is not fit to be published, or a place where it can't go."""


class PushData(Section):
    """`[data]`."""

    license: str = ""
    """Of the training images."""


class PushSettings(Section):
    """What `push` takes. Name, description and licence of the images go into the recipe and onto the card at once."""

    name: str = ""
    """What the card calls the recipe; else what it was called when it ran."""
    description: str = ""
    """Its one line."""
    private: bool = False
    revision: str = "main"
    """Branch; made where there is none."""
    tag: str = ""
    """Name of the commit afterwards; a tag never moves."""
    pr: bool = False
    """Open a pull request instead of writing to the branch."""
    dry: bool = False
    """Look at everything, show what would be public, send nothing."""
    heads: bool = True
    """Projectors, predictors and target go along, for who wants to train on."""
    out: str = ""
    """A new folder that gets a copy of what goes out."""
    data: PushData = PushData()


@dataclass(frozen=True)
class Pushed:
    """What came of it."""

    checks: list[Check]
    sent: Sent | None
    """None after `dry=true`."""


def push(folder: str | Path, repo_id: str, overrides: Sequence[str] = (), *, tell: Tell = print) -> Pushed:
    """Publish an artifact: exactly its files, in one commit, if nothing is wrong with it.

    Args:
        folder: Of an artifact, or of the run it lies in.
        repo_id: `org/name`; made where there is none.
        overrides: `key=value` for the keys of `PushSettings`.
        tell: Gets each line of what will be public, before it is.

    Raises:
        PushError: the lint has found something, the repository is public where `private=true`, or a tag would move.
        HubError: the Hub refuses, or can't be reached.
    """
    settings = settings_from(PushSettings, overrides)
    _check_names(repo_id, settings)
    artifact = read_artifact(Path(folder))
    stated = {"name": settings.name, "description": settings.description, "data.license": settings.data.license}
    if any(stated.values()):
        restate(artifact.folder, {key: text for key, text in stated.items() if text})
        artifact = read_artifact(artifact.folder)
    with outgoing(artifact, heads=settings.heads, out=settings.out) as going:
        return _published(going, repo_id, settings, tell)


def _published(artifact: Artifact, repo_id: str, settings: PushSettings, tell: Tell) -> Pushed:
    checks = [*lint(artifact.folder), Check("figures", tuple(_weak_figures(artifact)))]
    problems = [problem for check in checks for problem in check.problems]
    if problems:
        count = "one thing" if len(problems) == 1 else f"{len(problems)} things"
        raise PushError(f"{artifact.folder}: nothing was sent, {count} must be mended first: {'; '.join(problems)}")
    for line in _what_goes_out(artifact, repo_id, settings):
        tell(line)
    return Pushed(checks, None if settings.dry else _send(artifact, Remote(repo_id, settings.revision), settings))


def _weak_figures(artifact: Artifact) -> Iterator[str]:
    """Figures that nobody could measure again, or that say too much."""
    for entry in artifact.metrics:
        name = f"metrics.json: {plain(entry['protocol'])} {plain(entry['stage'])} {plain(entry['metric'])}"
        if not names_content(entry):
            yield f"{name} does not name its images by content, so nobody could tell them again; measure it again"
        share = (entry.get("overlap") or 0) / max(entry["n"], 1)
        if share > MOST_OVERLAP:
            yield (
                f"{name}: {entry['overlap']} of the {entry['n']} images asked are among those that taught "
                f"({share:.1%}, at most {MOST_OVERLAP:.0%}); measure it on others"
            )


def _check_names(repo_id: str, settings: PushSettings) -> None:
    if not _NAME.fullmatch(repo_id):
        raise PushError(f"{repo_id!r} is no repository; it is written org/name")
    for key, name in (("revision", settings.revision), ("tag", settings.tag or "x")):
        if not _REF.fullmatch(name) or ".." in name:
            raise PushError(f"{key}: no branch or tag can be called {name!r}")
    if settings.tag and settings.pr:
        raise PushError("tag and pr don't go together: a pull request has no commit to name before it is merged")


def _what_goes_out(artifact: Artifact, repo_id: str, settings: PushSettings) -> list[str]:
    files = artifact_files(artifact.folder)
    who = "whoever has access" if settings.private else "everybody"
    what = f"{endpoint()}/{repo_id} at {settings.revision}" + (" (as a pull request)" if settings.pr else "")
    lines = [f"{what} will hold, for {who} to read:"]
    lines += [f"  {name:<26}{path.stat().st_size:>14,} bytes" for name, path in files.items()]
    ours = artifact.config["ladder_hub"]
    lines.append(f"  weights: {artifact.architecture}, sha256 {ours['sha256']}")
    lines.append(f"  licence of the weights: {artifact.config['pretrained_cfg'].get('license')}")
    for entry in artifact.metrics:
        lines.append(f"  figure: {entry['protocol']} {entry['stage']} {entry['metric']} {percent(entry['value'])} %")
    return lines


def _send(artifact: Artifact, remote: Remote, settings: PushSettings) -> Sent:
    private = remote.describe()
    if private is None:
        remote.create(private=settings.private)
    elif settings.private and not private:
        raise PushError(f"{remote.where} is public and private=true was asked for; nothing was sent")
    named = remote.tags().get(settings.tag) if settings.tag and private is not None else None
    # Where the tag stands on other files already, it must be said before anything is sent.
    files = artifact_files(artifact.folder)
    if named is not None and not remote.holds(files, named):
        raise PushError(f"{remote.where}: the tag {settings.tag} names {named[:12]}, other files; tags don't move")
    sent = remote.send(
        files, message=f"{artifact.architecture}, {artifact.config['ladder_hub']['sha256'][:16]}", pr=settings.pr
    )
    if settings.tag and named is None:
        remote.add_tag(settings.tag, sent.commit)
    return sent
