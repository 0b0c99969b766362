"""Who reads the flow table at present, and how far behind the writer the slowest is.

A reader that falls behind by a whole table is overtaken and loses rows; here one sees it coming.
Readers stand here from the begin of their query to its end, whatever ends it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Reader(Protocol):
    """One query: observer.query.FlowQuery."""

    position: int | None
    """Of the row that it reads next; None before it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStatistics:
    """All readers at one moment."""

    count: int
    worst_lag_rows: int
    """How many rows the slowest has still to look at; 0 without readers."""


class Readers:
    """The readers of one table."""

    def __init__(self) -> None:
        self._present: dict[int, Reader] = {}

    @contextmanager
    def reading(self, reader: Reader) -> Iterator[None]:
        """Count a reader until this is left."""
        self._present[id(reader)] = reader
        try:
            yield
        finally:
            del self._present[id(reader)]

    def statistics(self, head: int) -> ReaderStatistics:
        """Look at all of them; `head` is the position of the row that comes next."""
        lags = [
            head - each.position for each in self._present.values() if each.position is not None
        ]
        return ReaderStatistics(count=len(self._present), worst_lag_rows=max(lags, default=0))
