"""`data.train=` and `data.val=`: from what the user typed to a source of images."""

import hashlib
import os
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
from ladder_hub.data.tar_stream import TarShard
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
            part = _part_of(path, spec, split)
            return FolderSource(path / part, spec=f"{spec.rstrip('/')}/{part}" if part else spec, progress=progress)
        return _open_shards(spec, path, split, progress)
    except OSError as error:  # a path too long, or through a folder that may not be entered
        raise DataError(f"can't read data.{split}={spec}: {error.strerror}") from None


def is_stream(spec: str) -> bool:
    """Whether these images can only be read from front to end: shards behind an address, or `hf:…?stream=true`."""
    return is_address(spec) or (spec.startswith("hf:") and read_address(spec).streamed)


def public_spec(spec: str) -> str:
    """What was typed, without what may be secret in an address."""
    return public(spec) if is_address(spec) else spec


def open_stream(spec: str, *, samples: int, buffer: int, patience: float) -> StreamSource:
    """Open a stream of training images; its first image is fetched, so that a wrong address is told at once.

    Args:
        spec: Tar shards by a brace pattern behind `https://`, `s3://`, `hf://` (whatever fsspec opens) or
            `pipe:COMMAND`; `hf:org/name?stream=true`.
        samples: Images an epoch, over all processes.
        buffer: Undecoded images among which each process draws its next.
        patience: Seconds to wait for the next image.

    Raises:
        DataError: no images there, or `samples` is not given.
    """
    told = public_spec(spec)
    if not samples:
        raise DataError(f"data.train={told} is a stream, whose length is not known: give data.samples=1281167, say")
    if is_address(spec):
        shards = [TarShard(address) for address in expand(spec)]
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


def told_left_out(source: object) -> str:
    """In one line: pictures of a source that are not taken, where there are any."""
    count, first = getattr(source, "left_out", (0, ""))
    more = ", ..." if count > 1 else ""
    return (
        f"{count} other pictures are left out, each beside the image of its key: {plain(first)}{more}" if count else ""
    )


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


def _part_of(root: Path, spec: str, split: Split) -> str:
    """Which folder of a whole set is meant: one that holds nothing but `train`, `val` and their like; else none.

    Raises:
        DataError: it is a whole set, without the part that is wanted.
    """
    with os.scandir(root) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
        folders = sorted(entry.name for entry in seen if os.path.isdir(entry.path))  # noqa: PTH112 - False for a loop of links
    known = {name for names in _PARTS.values() for name in names}
    if not folders or not {name.lower() for name in folders} <= known or _holds_images(seen):
        return ""
    for wanted in _PARTS[split]:
        for folder in folders:
            if folder.lower() == wanted:
                return folder
    there = " and ".join(folders)
    raise DataError(f"data.{split}={spec} holds {there}, none of them for {split}; name the one you mean")


def _holds_images(entries: list["os.DirEntry[str]"]) -> bool:
    endings = image_endings()
    return any(os.path.splitext(entry.name)[1].lower() in endings for entry in entries)  # noqa: PTH122 - names only


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
