"""Waiting longer after each failure: gRPC's connection back-off, without a clock of its own.

First 1 s, then 1.6 times the last up to 120 s (``Limits``), each give or take a fifth, so that a
server that comes back is not met by all its clients in one moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FACTOR = 1.6
_JITTER = 0.2


class Backoff:
    """The waits after a row of failures."""

    __slots__ = ("_first_s", "_max_s", "_next_s", "_random")

    def __init__(self, *, first_s: float, max_s: float, random: Callable[[], float]) -> None:
        """Start with no failure.

        Args:
            first_s: Wait after the first failure, seconds.
            max_s: The longest wait before jitter, seconds.
            random: Gives numbers in [0, 1).
        """
        self._first_s = first_s
        self._max_s = max_s
        self._random = random
        self._next_s = first_s

    def failed(self) -> float:
        """Note a failure; return the wait after it, seconds."""
        wait_s = min(self._next_s, self._max_s)
        self._next_s = min(wait_s * _FACTOR, self._max_s)
        return wait_s * (1 + _JITTER * (2 * self._random() - 1))

    def succeeded(self) -> None:
        """Start anew."""
        self._next_s = self._first_s
