"""What goes into the files of an artifact, before it is written or changed."""

import json
from pathlib import Path
from typing import Any

from ladder_hub.artifact.reading import ArtifactError
from ladder_hub.documents import plain
from ladder_hub.metrics_file import Metric


def owned(entry: Metric, digest: str | None, folder: Path) -> Metric:
    """The figure, if it was measured on the weights of this digest.

    Raises:
        ArtifactError: it was not.
    """
    if entry.get("weights") != digest:
        raise ArtifactError(
            f"{folder}: {plain(str(entry.get('protocol')))} was measured on other weights "
            f"({plain(str(entry.get('weights'))[:12])}…, here {plain(str(digest)[:12])}…)"
        )
    return entry


def as_json(value: Any) -> str:
    """As the files of an artifact have it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
