"""`data.train=` and `data.val=`: from what the user typed to a source of images."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ladder_hub.data.addresses import expand, is_address, name, public
from ladder_hub.data.decode import image_endings
from ladder_hub.data.folder import FolderSource
from ladder_hub.data.hf_dataset import read_address
from ladder_hub.data.hf_source import HubSource
from ladder_hub.data.hf_stream import open_rows
from ladder_hub.data.image_source import BadImage, DataError, Progress, Source, expanded, no_progress
from ladder_hub.data.shapes import ShapesSource
from ladder_hub.data.shards import ShardSource, expand_shards
from ladder_hub.data.stream import StreamSource
from ladder_hub.data.tar_stream import FirstLeftOut, TarShard
from ladder_hub.documents import plain

__all__ = [
    "BadImage",
    "DataError",
    "Source",
    "StreamSource",
    "check_same_classes",
    "is_stream",
    "open_source",
    "open_stream",
    "public_spec",
]

Split = Literal["train", "val"]


def open_source(spec: str, *, split: Split, progress: Progress = no_progress) -> Source:
    """Open a folder of images, local tar shards, a Hugging Face dataset, or the embedded shapes.

    Args:
        spec: A folder; one `.tar` or a brace pattern of them (`train-{000000..000005}.tar`); `hf:org/name` with
            options (`hf:org/name?config=..&split=..&revision=..&image=..&label=..`); `shapes`, or `shapes:512` for
            another number of images.
        split: Which key of the recipe this is; `shapes` has different images for each.
        progress: Called as (done, total or None, what) while a folder is listed or shards are indexed the first time.

    Raises:
        DataError: nothing usable there; one line that says what and where.
    """
    if not spec:
        raise DataError(f"data.{split} is empty: give a folder of images, tar shards, or shapes")
    if spec.partition(":")[0] == "shapes":
        return ShapesSource(_count(spec, split), split=split)
    if is_stream(spec):
        raise DataError(
            f"data.{split}={public_spec(spec)} is a stream, which only data.train of a training run reads; "
            "download it first, then give the folder or the shards"
        )
    if spec.startswith("hf:"):
        return HubSource(spec, split=split, progress=progress)
    try:
        path = expanded(spec)
        if path.is_dir():
            return _open_folder(path, spec, split, progress)
        return _open_shards(spec, path, split, progress)
    except OSError as error:  # a path too long, or through a folder that may not be entered
        raise DataError(f"can't read data.{split}={spec}: {error.strerror}") from None


def is_stream(spec: str) -> bool:
    """Whether these images can only be read from front to end: shards behind an address, or `hf:…?stream=true`."""
    return is_address(spec) or (spec.startswith("hf:") and read_address(spec).streamed)


def public_spec(spec: str) -> str:
    """What was typed, without what may be secret in an address."""
    return public(spec) if is_address(spec) else spec


def open_stream(
    spec: str, *, samples: int, buffer: int, patience: float, say: Callable[[str], None] = lambda _: None
) -> StreamSource:
    """Open a stream of training images; its first image is fetched, so that a wrong address is told at once.

    Args:
        spec: Tar shards by a brace pattern behind `https://`, `s3://`, `hf://` (whatever fsspec opens) or
            `pipe:COMMAND`; `hf:org/name?stream=true`.
        samples: Images an epoch, over all processes.
        buffer: Undecoded images among which each process draws its next.
        patience: Seconds to wait for the next image.
        say: Is told of the first picture that is left out, when it is met: of a stream nothing is known beforehand.

    Raises:
        DataError: no images there, or `samples` is not given.
    """
    told = public_spec(spec)
    if not samples:
        raise DataError(f"data.train={told} is a stream, whose length is not known: give data.samples=1281167, say")
    if is_address(spec):
        first_left_out = FirstLeftOut(say)
        shards = [TarShard(address, first_left_out) for address in expand(spec)]
        listing = "".join(f"{shard.name}\n" for shard in shards)
        digest = hashlib.sha256(listing.encode()).hexdigest()
        facts = {"source": "stream", "name": name(spec), "digest": digest}
        source = StreamSource(told, shards, samples, buffer, patience, facts)
    else:
        rows, facts = open_rows(spec)
        source = StreamSource(told, rows, samples, buffer, patience, {**facts, "source": "stream"})
    if not len(source.first(1)):
        raise DataError(f"no image in {source.shards[0].name}, the first shard of data.train={told}")
    return source


def notes_of(source: object) -> list[str]:
    """What people should know of how a source was read, a line each: the part chosen, pictures that are not taken."""
    notes = [note] if (note := getattr(source, "note", "")) else []
    count, first = getattr(source, "left_out", (0, ""))
    if count:
        more = ", ..." if count > 1 else ""
        notes.append(f"{count} other pictures are left out, each beside the image of its key: {plain(first)}{more}")
    return notes


def check_same_classes(train: Source, val: Source) -> None:
    """Refuse two sources whose classes differ as far as is known: their labels would mean different things.

    Raises:
        DataError: both know their class names, and these differ; or one knows only numbers, and there are
            labels in val that train lacks, or labels in train beyond the names of val.
    """
    if train.class_names is None or val.class_names is None:
        _check_label_numbers(train, val)
    elif train.class_names != val.class_names:
        odd = sorted(set(train.class_names) ^ set(val.class_names))[0]
        where = f"data.train={train.spec}" if odd in train.class_names else f"data.val={val.spec}"
        counts = f"{len(train.class_names)} classes in train, {len(val.class_names)} in val"
        raise DataError(f"train and val have different classes ({counts}): {odd!r} is in {where} only")


def _check_label_numbers(train: Source, val: Source) -> None:
    if train.labels is None or val.labels is None:
        return
    # A val without names may well lack the last of train's classes; one with names may not.
    in_train, in_val = _classes_known(train), _classes_known(val)
    if in_val > in_train or (val.class_names is not None and in_val < in_train):
        where = f"data.val={val.spec}" if in_val > in_train else f"data.train={train.spec}"
        raise DataError(
            f"train and val have different classes ({in_train} classes in train, {in_val} in val): "
            f"class number {max(in_train, in_val) - 1} is in {where} only"
        )


def _classes_known(source: Source) -> int:
    assert source.labels is not None
    return 1 + int(source.labels.max()) if source.class_names is None else len(source.class_names)


_PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "test", "testing"),
}
_FEW = 16
"""Folders that a whole set has beside its parts, at most."""


def _open_folder(root: Path, spec: str, split: Split, progress: Progress) -> Source:
    """The folder, or where it is the root of a whole set, the part of it that is wanted."""
    part, beside = _part_of(root, spec, split)
    if not part:
        return FolderSource(root, spec=spec, progress=progress)
    source = FolderSource(root / part, spec=f"{spec.rstrip('/')}/{part}", progress=progress)
    others = f"; {' and '.join(beside)} beside it are not" if beside else ""
    source.note = f"{spec} is the root of a whole set: the images of its {part}/ are taken{others}"
    return source


def _part_of(root: Path, spec: str, split: Split) -> tuple[str, list[str]]:
    """Which folder of a whole set is meant, and what lies beside it; "" where the folder is no such root.

    A root has a folder for training and one for validation or test (`train2017` too); or all its folders of images
    are called so; or it has one folder of images, and that is a root.

    Raises:
        DataError: it is a whole set, without the part that is wanted.
    """
    with os.scandir(root) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
        folders = sorted(entry.name for entry in seen if os.path.isdir(entry.path))  # noqa: PTH112 - False for a loop of links
    loose = [entry.name for entry in seen if _is_image(entry.name)]
    parts = {name: _split_of(name) for name in folders if _split_of(name)}
    if set(parts.values()) != {"train", "val"}:
        if loose or len(folders) > _FEW:
            return "", []
        holding = [name for name in folders if _holds_images(root / name)]
        if len(holding) == 1 and not parts:
            part, beside = _part_of(root / holding[0], f"{spec.rstrip('/')}/{holding[0]}", split)
            return (f"{holding[0]}/{part}" if part else ""), beside
        if not holding or not set(holding) <= set(parts):
            return "", []
    wanted = [name for name in folders if parts.get(name) == split]
    if not wanted:
        raise DataError(
            f"data.{split}={spec} holds {' and '.join(parts)}, none of them for {split}; name the one you mean"
        )
    part = min(wanted, key=lambda name: _PARTS[split].index(_plain_part(name)))
    images = [f"{len(loose)} image{'s' * (len(loose) > 1)}"] if loose else []
    return part, [f"{name}/" for name in folders if name != part] + images


def _plain_part(name: str) -> str:
    """`train2017` and `Train` are `train`."""
    return re.sub(r"[-_]?(19|20)\d\d$", "", name.lower())


def _split_of(name: str) -> str:
    return next((split for split, names in _PARTS.items() if _plain_part(name) in names), "")


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_endings()  # noqa: PTH122 - names only


def _holds_images(folder: Path) -> bool:
    """Whether there is an image below; the first one is enough."""
    walk = os.walk(folder, followlinks=False)
    return any(_is_image(name) for _, _, files in walk for name in files if not name.startswith("."))


def _open_shards(spec: str, path: Path, split: Split, progress: Progress) -> Source:
    if path.is_file() and path.suffix.lower() in image_endings():
        raise DataError(f"data.{split}={spec} is one image; give the folder that holds the images")
    shards = expand_shards(spec)
    if len(shards) == 1 and not shards[0].exists():
        raise DataError(_missing(spec, shards[0], split))
    for shard in shards:
        if shard.suffix != ".tar":
            raise DataError(f"data.{split}={spec}: {shard.name} is neither a folder nor a plain .tar")
    return ShardSource(shards, spec=spec, progress=progress)


def _missing(spec: str, path: Path, split: Split) -> str:
    if "*" in spec:
        return f"data.{split}={spec}: * is not expanded; write train-{{000000..000005}}.tar"
    nearest = next(parent for parent in path.absolute().parents if parent.is_dir())
    return f"data.{split}={spec} does not exist; the nearest folder that does is {nearest}"


def _count(spec: str, split: Split) -> int | None:
    _, colon, number = spec.partition(":")
    if not colon:
        return None
    if not number.isdecimal() or int(number) == 0:
        raise DataError(f"data.{split}={spec}: the number of images must be a whole number above 0, as in shapes:512")
    return int(number)
