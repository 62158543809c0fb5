"""The folder of a run: a new one, or what stands in its way."""

from pathlib import Path

from ladder_hub.errors import UserError


def new_folder(out: str, name: str, *, again: str) -> Path:
    """`out`, which must be new or empty; where it is empty, the next free runs/<name>.

    Args:
        out: a path, or nothing.
        name: of the recipe.
        again: the command that goes on with a run, up to its `resume=`.

    Raises:
        UserError: there is something in `out`.
        OSError: it can't be made.
    """
    return _claimed(Path(out).expanduser(), again) if out else _next_free(Path("runs") / name)


def _claimed(folder: Path, again: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # What a kill at the very start leaves (.lock, a file half-written) is no run.
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"out={folder} exists; name another folder, or go on with its run: {again} resume={folder}")
    return folder


def _next_free(folder: Path) -> Path:
    number = 1
    while True:
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return candidate
