"""How far the wall clock is from the kernel's clock: what turns the time of a sample into a date.

Two clocks cannot be read at once. Whoever is put to sleep between the two readings is wrong by as
long as he slept, on a busy machine by tens of milliseconds, and flows of several nodes get mixed.
So the wall clock is read between two readings of the other one, again if those lie far apart, and
what was found before stays as long as the new reading does not contradict it: times of one node do
not tremble, and only setting the clock moves them.
"""

import time
from collections.abc import Callable
from typing import Final

NARROW_NS: Final = 2_000
"""Readings this close together are good enough; a quiet machine needs 200 ns."""
_MOST_READINGS: Final = 8


class WallClock:
    """The distance between the clocks, as well as it can be told."""

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._offset_ns, self._width_ns = self._measure()

    def offset_ns(self) -> int:
        """Give wall clock minus CLOCK_MONOTONIC."""
        offset_ns, width_ns = self._measure()
        if abs(offset_ns - self._offset_ns) > width_ns + self._width_ns:
            self._offset_ns, self._width_ns = offset_ns, width_ns  # somebody set the clock
        return self._offset_ns

    def _measure(self) -> tuple[int, int]:
        """Read until it is narrow, at most a few times: the best distance, and its width."""
        best_ns, best_width_ns = self._read()
        for _ in range(_MOST_READINGS - 1):
            if best_width_ns <= NARROW_NS:
                break
            offset_ns, width_ns = self._read()
            if width_ns < best_width_ns:
                best_ns, best_width_ns = offset_ns, width_ns
        return best_ns, best_width_ns

    def _read(self) -> tuple[int, int]:
        before_ns = self._mono_ns()
        wall_ns = self._wall_ns()
        after_ns = self._mono_ns()
        return wall_ns - (before_ns + after_ns) // 2, after_ns - before_ns
