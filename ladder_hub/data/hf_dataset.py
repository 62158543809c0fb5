"""The door to Hugging Face `datasets`: which dataset, split and columns an `hf:` address means.

`hf:org/name` or `hf:/a/local/folder`, options behind a `?`. Nothing here runs code that a dataset brings along.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

import huggingface_hub

from ladder_hub.data.folder import public_name
from ladder_hub.data.image_source import DataError, expanded

_OPTIONS = ("config", "split", "revision", "image", "label", "stream")
_VALIDATION = ("validation", "val", "test")
_LONGEST = 300


@dataclass(frozen=True)
class Address:
    """What stands in an `hf:` address.

    Attributes:
        spec: What the user typed.
        path: `org/name`, or a local folder.
        options: `config`, `split`, `revision`, `image`, `label` and `stream`, those that were given.
    """

    spec: str
    path: str
    options: dict[str, str]

    @property
    def local(self) -> bool:
        """Whether it is a folder here; `datasets` too looks for one before it asks the hub."""
        return self.path.startswith(("/", ".", "~")) or Path(self.path).is_dir()

    @property
    def streamed(self) -> bool:
        """Whether its rows are read from front to end, as they come over the network."""
        return self.options.get("stream") == "true"


def read_address(spec: str) -> Address:
    """Take an address apart.

    Raises:
        DataError: an option that there is not, or one without a value.
    """
    path, _, query = spec.removeprefix("hf:").partition("?")
    try:
        options = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
    except ValueError:
        raise DataError(f"{spec}: write the options as in hf:org/name?split=train&label=label") from None
    for name, value in options.items():
        if name not in _OPTIONS:
            raise DataError(f"{spec}: there is no option {name!r}; there are {', '.join(_OPTIONS)}")
        if not value:
            raise DataError(f"{spec}: the option {name} has no value")
    if options.get("stream", "true") not in ("true", "false"):
        raise DataError(f"{spec}: stream is true or false, not {options['stream']!r}")
    if not path:
        raise DataError(f"{spec} names no dataset; write hf:org/name, or hf: and a local folder")
    return Address(spec, path, options)


@dataclass
class HubDataset:
    """An opened dataset: one split of it, not yet loaded.

    Attributes:
        address: Where it is.
        name: What may be published: `org/name`, or the local folder's own name.
        split: The split.
    """

    address: Address
    name: str
    split: str
    builder: Any = field(repr=False)

    def load(self) -> Any:
        """The split for random access (downloaded and prepared where it is not yet)."""
        self.builder.download_and_prepare()
        return self.builder.as_dataset(split=self.split)

    def stream(self) -> Any:
        """The split to read from front to end; nothing is kept on the disk."""
        return self.builder.as_streaming_dataset(split=self.split)

    def readable_roots(self) -> list[str]:
        """Folders in which a row may name a file: the dataset's own, and where downloads are put."""
        if self.address.local:
            return [str(expanded(self.address.path).resolve())]
        prepared = _library(self.address.spec).config.HF_DATASETS_CACHE
        return [str(Path(folder).resolve()) for folder in (prepared, huggingface_hub.constants.HF_HUB_CACHE)]

    def tried(self, action: Callable[[], Any]) -> Any:
        """What an action on it gives; `datasets` fails in many ways, each of many lines."""
        try:
            return action()
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"can't read {self.address.spec}: {_one_line(error)}") from None

    def fingerprint(self, *, count: int | None, classes: int | None) -> dict[str, Any]:
        """Source, name, count, classes and a SHA-256 of the dataset's revision (or its files, where local)."""
        files = (self.builder.config.data_files or {}).get(self.split.partition("[")[0], [])
        if self.address.local:
            state = sorted([Path(file).name, Path(file).stat().st_size] for file in files if Path(file).is_file())
        else:
            state = [[self.name, self.builder.hash]]
        columns = [self.address.options.get(name) for name in ("image", "label")]
        told = json.dumps([self.builder.config.name, self.split, state, columns, count])
        digest = hashlib.sha256(told.encode()).hexdigest()
        return {"source": "hf", "name": self.name, "count": count, "classes": classes, "digest": digest}


def open_dataset(address: Address, *, split: Literal["train", "val"]) -> HubDataset:
    """Find the dataset and its split; downloads no image.

    Raises:
        DataError: `datasets` is not installed, or there is no such dataset, configuration or split.
    """
    datasets = _library(address.spec)
    root = expanded(address.path)
    if address.local and not root.is_dir():
        raise DataError(f"{address.spec}: there is no folder {address.path}")
    path = str(root) if address.local else address.path
    try:
        builder = datasets.load_dataset_builder(
            path, name=address.options.get("config"), revision=address.options.get("revision")
        )
    except Exception as error:  # of a dozen kinds, from requests' to pyarrow's
        raise DataError(f"can't open {address.spec}: {_one_line(error)}") from None
    name = public_name(root) if address.local else address.path
    return HubDataset(address, name, _chosen_split(address, builder, split), builder)


def image_column(address: Address, features: Any) -> str:
    """The column that holds the images: the one asked for, or the only one there is.

    Raises:
        DataError: none, or more than one; all columns are named.
    """
    datasets = _library(address.spec)
    wanted = address.options.get("image")
    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    usable = images + [name for name, feature in features.items() if _is_bytes(feature)]
    if wanted is None and len(images) == 1:
        return images[0]
    if wanted is not None and wanted in usable:
        return wanted
    _check_column(address, wanted, features)
    if wanted is not None:
        raise DataError(f"{address.spec}: the column {wanted!r} holds no images{_perhaps(images)}")
    what = f"{len(images)} columns of images" if images else "no column of images"
    raise DataError(
        f"{address.spec} has {what} among {', '.join(features)}: name one, as in ?image={(usable or ['img'])[0]}"
    )


def label_column(address: Address, features: Any) -> str | None:
    """The column of class numbers: the one asked for, or the only one of the kind ClassLabel; None without one.

    Raises:
        DataError: the column asked for does not exist or holds no class numbers.
    """
    datasets = _library(address.spec)
    wanted = address.options.get("label")
    classes = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if wanted is None:
        return "label" if "label" in classes else classes[0] if len(classes) == 1 else None
    _check_column(address, wanted, features)
    if wanted not in classes and "int" not in str(getattr(features[wanted], "dtype", "")):
        raise DataError(f"{address.spec}: the column {wanted!r} holds no class numbers{_perhaps(classes)}")
    return wanted


def undecoded(data: Any, address: Address, column: str) -> Any:
    """The dataset with only the image column, as the bytes that came with it."""
    datasets = _library(address.spec)
    data = data.select_columns([column])
    image = isinstance(data.features[column], datasets.Image)
    return data.cast_column(column, datasets.Image(decode=False)) if image else data


def _one_line(error: BaseException) -> str:
    """The innermost cause, in one line that is not too long."""
    while error.__cause__ is not None and "generating the dataset" in str(error):
        error = error.__cause__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _library(spec: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(f"{spec} needs the package datasets: pip install 'ladder-hub[hf]'") from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def _chosen_split(address: Address, builder: Any, split: Literal["train", "val"]) -> str:
    there = list(builder.info.splits or builder.config.data_files or {})
    wanted = address.options.get("split")
    if wanted is None:
        likely = ("train",) if split == "train" else _VALIDATION
        wanted = next((name for name in likely if name in there or not there), None)
        if wanted is None:
            raise DataError(
                f"data.{split}={address.spec} has no split {' or '.join(likely)}, but {', '.join(there)}: "
                f"name one, as in ?split={there[0]}"
            )
    if there and wanted.partition("[")[0] not in there:
        raise DataError(f"{address.spec}: there is no split {wanted!r}; there are {', '.join(there)}")
    return wanted


def _check_column(address: Address, wanted: str | None, features: Any) -> None:
    if wanted is not None and wanted not in features:
        raise DataError(f"{address.spec}: there is no column {wanted!r}; there are {', '.join(features)}")


def _is_bytes(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("binary", "large_binary")


def _perhaps(names: list[str]) -> str:
    return f"; perhaps {', '.join(names)}" if names else ""
