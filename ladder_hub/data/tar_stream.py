"""A WebDataset shard that is read from front to end, wherever it lies."""

import tarfile
from collections.abc import Generator
from dataclasses import dataclass

from ladder_hub.data.addresses import name, public, reading
from ladder_hub.data.stream import Stored
from ladder_hub.data.tar_members import Sample, TarReader, members, samples

_LARGEST = 2**28  # bytes of an image; what is cut there can't be decoded, and is counted as bad


@dataclass(frozen=True)
class TarShard:
    """A `Shard` of a stream: the samples of one tar that have an image."""

    address: str

    @property
    def name(self) -> str:
        """The address without what may be secret."""
        return public(self.address)

    def read(self) -> Generator[Stored, None, None]:
        """Its images, from the first on; `train-000001.tar:n0123_4.jpg` is a key."""
        own = name(self.address)
        with reading(self.address) as stream:
            reader = TarReader(stream, self.name)

            def keep(sample: Sample, member: tarfile.TarInfo) -> None:
                sample.data = reader.content(member, _LARGEST)

            for sample in samples(members(reader), on_image=keep):
                assert sample.image is not None
                yield Stored(f"{own}:{sample.image.name}", sample.data)
