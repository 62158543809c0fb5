"""An image whose size is known before its pixels are wanted: boxes can be drawn first, and less be decoded."""

from typing import Protocol

import torch


class Picture(Protocol):
    """One image, upright.

    Attributes:
        height: In pixels, of the whole image.
        width: Likewise.
    """

    height: int
    width: int

    def read(self, reduction: int = 1) -> torch.Tensor:
        """The pixels.

        Args:
            reduction: 1, 2, 4 or 8: how many times smaller each side may come. Whoever can't decode to a smaller
                size for less gives the whole size.

        Returns:
            uint8 (3, H, W), RGB: the whole size, or ceil(height / reduction), ceil(width / reduction).

        Raises:
            ValueError: they can't be decoded; the message is a few words.
        """
        ...


class Pixels:
    """A picture whose pixels are there.

    Args:
        pixels: uint8 (3, H, W), RGB.
    """

    def __init__(self, pixels: torch.Tensor) -> None:
        self.height, self.width = pixels.shape[-2:]
        self._pixels = pixels

    def read(self, reduction: int = 1) -> torch.Tensor:
        """All of them, uint8 (3, H, W)."""
        return self._pixels
