"""Gaps: what a reader missed because the writer overtook it.

A reader that does not follow reports each gap at once. One that follows adds gaps up and reports
them at most once per second, so that a slow client is not slowed further by the reports.
"""

from collections.abc import Callable
from typing import Final

from api.proto.flow.flow_pb2 import LostEventSource
from observer.entities import LostEvents

REPORT_INTERVAL_S: Final = 1.0


class Gaps:
    """Gaps of one reader that are not yet reported."""

    def __init__(self, *, patient: bool, clock_s: Callable[[], float]) -> None:
        self._interval_s = REPORT_INTERVAL_S if patient else 0.0
        self._clock_s = clock_s
        self._due_s = clock_s()
        self._count = 0
        self._first_ns = 0
        self._last_ns = 0

    def add(self, count: int, *, first_ns: int, last_ns: int) -> None:
        """Note that `count` events were overwritten, with times in this range."""
        if not self._count:
            self._first_ns = first_ns
        self._count += count
        self._last_ns = last_ns

    @property
    def wait_s(self) -> float | None:
        """How long until a report is due; None if there is nothing to report."""
        return max(self._due_s - self._clock_s(), 0.0) if self._count else None

    def take(self) -> LostEvents:
        """Return the report and forget what it holds."""
        lost = LostEvents(
            source=LostEventSource.HUBBLE_RING_BUFFER,
            count=self._count,
            cpu=None,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
        )
        self._count = 0
        self._due_s = self._clock_s() + self._interval_s
        return lost
