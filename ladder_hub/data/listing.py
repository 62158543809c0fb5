"""The images below a folder, listed once: a million files are not asked for their sizes at every start.

A kept listing holds as long as no folder of the tree changed: each still has its inode and times of change, so
files that came, went or were renamed are seen. **Not noticed** is what no folder tells: a file rewritten in
place, and what a link to a file, out of the tree, leads to. Those show as images, and in the digest when the
listing is next made (touch the folder).
"""

import errno
import hashlib
import os
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ladder_hub.data.cache import load_arrays, save_arrays, whole_names
from ladder_hub.data.decode import image_endings
from ladder_hub.data.image_source import DataError, Progress, no_progress
from ladder_hub.data.names import Names

_FORMAT = "ladder-hub folder listing 1"
_WHAT = "listing the images"
_TELL_EVERY = 1000
# A folder may change again within one tick of its clock and show the same time; the coarsest ticks are of 2 s.
_CLOCK_TICK_NS = 2 * 10**9


_Folder = tuple[int, int]
"""What a folder is, by whatever name: device and inode."""


@dataclass(frozen=True)
class Listing:
    """N images in the order of their relative paths' bytes.

    Attributes:
        paths: Relative, with `/`.
        label: int64 (N,), or None where the folders are no classes.
        class_names: In the order of the labels.
        digest: SHA-256, in hex, of paths, sizes and labels.
    """

    paths: Names
    label: np.ndarray | None
    class_names: list[str] | None
    digest: str


def list_images(root: str, *, progress: Progress = no_progress) -> Listing:
    """Every image below a folder; hidden files and folders are skipped.

    Raises:
        DataError: a folder can't be read; named.
    """
    name = _name(root)
    listing = _load(root, name)
    if listing is None:
        tree = _Tree(root, progress)
        sizes = array("q")
        paths = Names.pack(tree.images(sizes))
        label, class_names = _classes(paths)
        listing = Listing(paths, label, class_names, _digest(paths, sizes, label))
        if tree.settled and len(paths):
            _save(listing, tree, name)
    return listing


@dataclass
class _Tree:
    """One walk: what folders there were, and whether all had been at rest."""

    root: str
    progress: Progress
    folders: list[str] = field(default_factory=list)
    stamps: list[bytes] = field(default_factory=list)
    settled: bool = True
    _endings: frozenset[str] = field(default_factory=image_endings)

    def images(self, sizes: "array[int]") -> Iterator[str]:
        """Relative paths, sorted; links to folders are followed, but not back to a folder that holds them.

        A folder sorts as its name with `/` behind: so one folder at a time is sorted, and all paths are.
        """
        pending = [self._sorted("", frozenset())]
        while pending:
            prefix, entries, above = pending[-1]
            packed = next(entries, None)
            if packed is None:
                pending.pop()
                continue
            name, _, size = packed.partition(b"\0")
            if name.endswith(b"/"):
                pending.append(self._sorted(prefix + os.fsdecode(name), above))
                continue
            sizes.append(int(size))
            if len(sizes) % _TELL_EVERY == 0:
                self.progress(len(sizes), None, _WHAT)
            yield prefix + os.fsdecode(name)

    def _sorted(self, prefix: str, above: frozenset[_Folder]) -> tuple[str, Iterator[bytes], frozenset[_Folder]]:
        """A folder with its entries, and those that hold them."""
        here, entries = self._scan(prefix, above)
        entries.sort()
        return prefix, iter(entries), above | {here}

    def _scan(self, prefix: str, above: frozenset[_Folder]) -> tuple[_Folder, list[bytes]]:
        """The folder's identity, and its entries as one object each: `name NUL size`, or `name/` for a folder."""
        folder = Path(self.root) / prefix
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            self.folders.append(prefix)
            self.stamps.append(_stamp(prefix, status))
            self.settled &= time.time_ns() - status.st_mtime_ns > _CLOCK_TICK_NS
            if here in above:
                return here, []
            with os.scandir(folder) as entries:
                return here, [packed for entry in entries if (packed := self._packed(entry)) is not None]
        except OSError as error:
            raise DataError(f"can't list {folder}: {error.strerror}") from None

    def _packed(self, entry: "os.DirEntry[str]") -> bytes | None:
        if entry.name.startswith("."):
            return None
        folder = _is_folder(entry)
        if folder:
            return os.fsencode(entry.name) + b"/"
        if folder is None or os.path.splitext(entry.name)[1].lower() not in self._endings:  # noqa: PTH122 - Path is slow for millions
            return None
        return b"%s\0%d" % (os.fsencode(entry.name), _size(entry))


def _is_folder(entry: "os.DirEntry[str]") -> bool | None:
    """None for a link that leads round to itself: nothing is there."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise DataError(f"can't read {entry.path}: {error.strerror}") from None


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return -1


def _stamp(prefix: str, status: os.stat_result) -> bytes:
    return os.fsencode(f"{prefix}\0{status.st_ino}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n")


def _classes(paths: Names) -> tuple[np.ndarray | None, list[str] | None]:
    """First-level folders in sorted order: the paths are sorted, so each is one run of them."""
    label = array("q")
    names: list[str] = []
    for path in paths:
        first, slash, _ = path.partition("/")
        if not slash:
            return None, None
        if not names or first != names[-1]:
            names.append(first)
        label.append(len(names) - 1)
    # `a/x` sorts behind `a-b/x`, and `a` before `a-b`: the runs are in another order than their names.
    order = sorted(range(len(names)), key=lambda at: os.fsencode(names[at]))
    if len(names) < 2:
        return None, None
    number = np.empty(len(names), dtype=np.int64)
    number[order] = np.arange(len(names))
    return number[np.frombuffer(label, dtype=np.int64)], [names[at] for at in order]


def _digest(paths: Names, sizes: "array[int]", label: np.ndarray | None) -> str:
    digest = hashlib.sha256()
    for index, path in enumerate(paths):
        number = "" if label is None else int(label[index])
        digest.update(os.fsencode(f"{path}\0{sizes[index]}\0{number}\n"))
    return digest.hexdigest()


def _name(root: str) -> str:
    """Where the listing is kept: it depends on the folder and on which files are images."""
    what = [_FORMAT, str(Path(root).resolve()), *sorted(image_endings())]
    return hashlib.sha256(os.fsencode("\0".join(what))).hexdigest()


def _load(root: str, name: str) -> Listing | None:
    arrays = load_arrays(name)
    try:
        if arrays is None or str(arrays["stamp"]) != _stamps_now(root, _names(arrays, "folders")):
            return None
        paths, label = _names(arrays, "paths"), arrays["label"]
        class_names = list(_names(arrays, "classes")) or None
        digest = str(arrays["digest"])
    except (KeyError, ValueError, OSError):
        return None
    if class_names is None:
        return Listing(paths, None, None, digest)
    return Listing(paths, label, class_names, digest) if len(label) == len(paths) else None


def _stamps_now(root: str, folders: Names) -> str:
    digest = hashlib.sha256()
    for prefix in folders:
        digest.update(_stamp(prefix, (Path(root) / prefix).stat()))
    return digest.hexdigest()


def _names(arrays: dict[str, np.ndarray], name: str) -> Names:
    return whole_names(arrays[name], arrays[f"{name}_ends"])


def _save(listing: Listing, tree: _Tree, name: str) -> None:
    arrays = {
        "stamp": np.array(hashlib.sha256(b"".join(tree.stamps)).hexdigest()),
        "digest": np.array(listing.digest),
        "label": np.empty(0, dtype=np.int64) if listing.label is None else listing.label,
    }
    packed = {
        "folders": Names.pack(tree.folders),
        "paths": listing.paths,
        "classes": Names.pack(listing.class_names or ()),
    }
    for column, names in packed.items():
        arrays |= {column: names.joined, f"{column}_ends": names.ends}
    save_arrays(name, arrays)
