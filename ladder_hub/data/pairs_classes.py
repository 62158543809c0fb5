"""`classes.txt`: what the indices of masks are called."""

import re
from pathlib import Path

from ladder_hub.data.image_source import DataError
from ladder_hub.data.pairs_mask import IGNORED, MOST_CLASSES

_NAME = "classes.txt"
_NUMBERED = re.compile(r"(\d+)\s+(\S.*)")
_LARGEST = 2**16


def class_names_beside(path: Path) -> list[str] | None:
    """The names in `classes.txt`, in a folder or beside a file; None where there is none.

    A line is a name, in the order of the indices, or index and name; a name for 255 is passed over.

    Raises:
        DataError: the file can't be read, or its indices are not 0, 1, 2, ...
    """
    file = (path if path.is_dir() else path.parent) / _NAME
    if not file.is_file():
        return None
    if file.stat().st_size > _LARGEST:
        raise DataError(f"{file} has {file.stat().st_size:,} bytes: more than any list of classes")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't read {file}: {error}") from None
    numbered = [found for line in lines if (found := _NUMBERED.fullmatch(line))]
    names = _in_order(file, {int(m[1]): m[2] for m in numbered}) if len(numbered) == len(lines) else lines
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(f"{file} names {len(names)} classes; 2 to {MOST_CLASSES} can be told apart")
    return ["".join(letter if letter.isprintable() else " " for letter in name) for name in names]


def _in_order(file: Path, numbered: dict[int, str]) -> list[str]:
    numbered.pop(IGNORED, None)
    if sorted(numbered) != list(range(len(numbered))):
        missing = min(set(range(len(numbered))) - set(numbered))
        raise DataError(f"{file}: the indices must be 0, 1, 2, ...; {missing} is missing")
    return [numbered[index] for index in range(len(numbered))]
