"""What goes wrong on demand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cut", "unavailable", "corrupt", "refuse"]


@dataclass
class Fault:
    """The next `times` requests that ask for a path with this ending fail in this way.

    `cut` ends the connection after `at` bytes of the body (0: in its middle), `unavailable` is a 503, `refuse` a 403,
    `corrupt` answers with one bit turned (the same size, the same names). `before` is called first: what somebody else
    does at that moment.
    """

    kind: Kind | None
    path: str
    times: int = 1
    method: str = "GET"
    at: int = 0
    before: Callable[[], object] | None = None

    def applies(self, method: str, path: str) -> bool:
        return self.times > 0 and method == self.method and path.endswith(self.path)


def corrupted(data: bytes) -> bytes:
    """The same length; the last bit is another, which in safetensors is a weight's."""
    return data[:-1] + bytes([data[-1] ^ 1])
