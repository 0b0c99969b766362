"""The tally: how many events of each kind came before a position.

A row is an event, but one of kind LOST stands for as many as were lost. So what a reader missed
cannot be told from positions alone once the rows are overwritten; from the tallies at both ends it
can. A few marks are kept, and up to the next one the rows themselves are counted:

    mark            mark      position       mark            head
    ──┴───────────────┴───────────┼────────────┴───────────────┤
                                  └── counted ─┘
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.table import scalars

Counts = NDArray[np.int64]
"""int64 (256,): events by EventKind; those of kind LOST are what their rows stand for."""
CountRows = Callable[[int, int], Counts]
"""Positions start..stop-1, all readable → their events."""

_BETWEEN_ROWS: Final = 4_096
_KINDS: Final = 256


def count_rows(kinds: NDArray[np.uint8]) -> Counts:
    """Count rows by kind."""
    return np.bincount(kinds, minlength=_KINDS)


def count_events(rows: Counts, kinds: NDArray[np.uint8], size: NDArray[np.uint64]) -> Counts:
    """Count the events of rows by kind, from their number; the columns are `kind` and `bytes`."""
    if not rows[scalars.LOST]:
        return rows
    events = rows.copy()
    events[scalars.LOST] = int(size[kinds == scalars.LOST].sum())
    return events


class Tally:
    """Of one table."""

    def __init__(self, count_rows: CountRows) -> None:
        """Take the way to count rows that are still readable."""
        self._count_rows = count_rows
        self._total = np.zeros(_KINDS, np.int64)
        self._positions: list[int] = []
        """Of the marks, ascending; one for a few thousand readable rows, or a batch if larger."""
        self._before: list[Counts] = []

    def add(self, counts: Counts, *, head: int, oldest: int) -> None:
        """Take the events of rows that were appended; they end at `head`."""
        self._total += counts
        if self._positions and head - self._positions[-1] < _BETWEEN_ROWS:
            return
        gone = bisect_left(self._positions, oldest)
        del self._positions[:gone], self._before[:gone]
        self._positions.append(head)
        self._before.append(self._total.copy())

    def before(self, position: int, *, head: int) -> Counts:
        """Count the events before a readable position, or before head."""
        at = bisect_left(self._positions, position)
        if at == len(self._positions):
            return self._total - self._count_rows(position, head)
        return self._before[at] - self._count_rows(position, self._positions[at])
