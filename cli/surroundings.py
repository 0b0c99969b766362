"""What a command line sees of the world: environment, clock, output and error streams.

Handed in from `app.py`, so that tests run commands without a terminal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

_CHUNK_BYTES = 256 * 1024


class ByteSink(Protocol):
    """Where bytes go: a binary file."""

    def write(self, data: bytes, /) -> object:
        """Take all bytes."""

    def flush(self) -> None:
        """Pass on what was taken."""


class Output:
    """Collects text and hands it on in big pieces; at most 256 KiB wait, and the last piece."""

    def __init__(self, sink: ByteSink) -> None:
        """Write to a binary file."""
        self._sink = sink
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def write(self, text: str | bytes) -> None:
        """Take text, of bytes in UTF-8; raises OSError when the reader is gone."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        self._parts.append(data)
        self._size_bytes += len(data)
        if self._size_bytes >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on all text."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size_bytes = 0
            self._sink.write(data)
        self._sink.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world as one command line sees it."""

    environ: Mapping[str, str]
    now_ns: Callable[[], int]
    """Time since 1970."""
    out: Output
    warn: Callable[[str], None]
    """Writes text to the error stream."""
    terminal: bool
    """Whether the output is a terminal."""
