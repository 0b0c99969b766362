"""Bytes as a source of decisions, so that whatever a fuzzer writes means something.

Small changes of the bytes are small changes of what is built from them: each decision takes as few
bytes as it needs, in order, and where none are left it is the first of what is offered.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A cursor over the fuzzer's bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """Take up to this many bytes."""
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found

    def number(self, size: int) -> int:
        """Take a number of this many bytes, little endian."""
        return int.from_bytes(self.take(size), "little")

    def pick(self, offered: Sequence[T]) -> T:
        """Take one of what is offered, at most 65,536."""
        size = 1 if len(offered) <= 256 else 2
        return offered[self.number(size) % len(offered)]

    def chunk(self) -> bytes:
        """Take bytes whose number stands in front of them, at most 255."""
        return self.take(self.number(1))
