"""The flow table: the last flows as columns, a ring of rows with one writer and many readers.

In: batches of decoded, enriched rows. Out: slices of columns by position. Positions count up
from 0 for ever; the row at a position stands in slot `position & mask`:

        oldest                  head
    ──────┬───────────────────────┬──────────
     gone │ readable, ≤ capacity  │ not yet written
    ──────┴───────────────────────┴──────────

All calls are made on one event loop, so there are no locks: a reader may use the slices it got
until its next await, and finds out by `oldest` whether it was overtaken. A row that leaves the
readable range lets go of its interned values and its detail.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from observer.entities import LostEvents
from observer.table.columns import FLOW_COLUMNS, EventKind, RowFlag
from observer.table.interns import Interns, InternTable
from observer.table.label_sets import LabelSets
from observer.table.rows import Column, Rows
from observer.table.tally import Tally, count_events, count_rows
from observer.table.turns import Turns
from observer.table.uuids import RowUuids
from observer.table.watermark import Watermark

__all__ = ["FlowTable", "Rows", "TableStatistics"]

MAX_CAPACITY: Final = (1 << 24) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatistics:
    """What the table holds and has held."""

    rows: int
    capacity: int
    appended: dict[EventKind, int]
    """Rows ever appended, by kind; kinds that never came are left out."""
    oldest_ns: int | None
    """Wall time of the oldest readable row."""


class FlowTable:
    """A ring of `capacity` rows, 2**n - 1 as in Hubble."""

    def __init__(self, *, capacity: int, interns: Interns, seed: int) -> None:
        """Make an empty table; its memory is touched as rows come.

        Raises:
            ValueError: capacity is not 2**n - 1 with n in 1..24.
        """
        if not 1 <= capacity <= MAX_CAPACITY or capacity & (capacity + 1):
            raise ValueError(
                f"make flow table: capacity must be 2^n - 1 with n in 1..24, got {capacity}"
            )
        self.capacity = capacity
        self.head = 0
        """Position that the next row will get."""
        self.columns: dict[str, Column] = {
            name: np.zeros((capacity + 1, *shape), dtype)
            for name, (dtype, shape) in FLOW_COLUMNS.items()
        }
        self._details: dict[int, object] = {}
        self._uuids = RowUuids(seed)
        self.watermark = Watermark()
        """No row to come is older."""
        self._appended = np.zeros(256, np.int64)
        self._tally = Tally(self._count_events)
        self._waiting: set[asyncio.Future[None]] = set()
        self.turns = Turns()
        """Whoever reads much takes one before each part."""
        self.interns = interns
        """What the `_ref` columns refer to."""
        self.label_sets = LabelSets(interns.endpoints)
        self._held = _held_columns(interns)

    @property
    def oldest(self) -> int:
        """Position of the oldest readable row; equals head while the table is empty."""
        return max(0, self.head - self.capacity)

    @property
    def details(self) -> Mapping[int, object]:
        """Position → LostEvents, Tunnel, SocketTranslation … of rows with RowFlag.DETAIL."""
        return self._details

    def append(self, rows: Rows) -> int:
        """Copy rows in and return the position of the first; wakes all waiting readers.

        Times that run backwards are raised to the watermark, also in `rows`, so that the table can
        be bisected by time whatever the clock did.
        """
        first = self.head
        if rows.count == 0:
            return first
        self._ascend(rows.columns["time_ns"])
        # All hold before any lets go, or an entry that old and new rows share would be freed.
        for name, interns in self._held.items():
            interns.retain(rows.columns[name])
        for start in range(0, rows.count, self.capacity):
            self._copy(rows, start, min(start + self.capacity, rows.count))
        self._count(rows)
        for index, detail in sorted(rows.details.items()):
            if first + index >= self.oldest:
                self._details[first + index] = detail
        self._wake()
        return first

    def append_lost(self, lost: LostEvents, time_ns: int) -> int:
        """Append a row of kind LOST and return its position."""
        rows = Rows.zeros(1)
        values = {
            "time_ns": time_ns,
            "kind": EventKind.LOST,
            "sub_type": lost.source,
            "flags": RowFlag.DETAIL,
            "is_reply": -1,
            "bytes": lost.count,
            "cpu": lost.cpu or 0,
        }
        for name, value in values.items():
            rows.columns[name][0] = value
        rows.details[0] = lost
        return self.append(rows)

    def segments(self, start: int, stop: int) -> list[slice]:
        """Give the slots of positions start..stop-1 in order: no slice if empty, else 1 or 2.

        The range must be readable: oldest <= start, stop <= head.
        """
        if start >= stop:
            return []
        first = start & self.capacity
        length = stop - start
        if first + length <= self.capacity + 1:
            return [slice(first, first + length)]
        return [slice(first, self.capacity + 1), slice(0, first + length - self.capacity - 1)]

    def slots(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the slots of positions."""
        return positions & self.capacity

    def position_at(self, time_ns: int) -> int:
        """Find the first readable position whose time is not before time_ns; head if none."""
        position = self.oldest
        for segment in self.segments(position, self.head):
            times = self.columns["time_ns"][segment]
            found = int(np.searchsorted(times, time_ns))
            position += found
            if found < len(times):
                break
        return position

    def events_before(self, position: int) -> NDArray[np.int64]:
        """Count the events that ever came before a position, int64 (256,) by kind.

        The position must be readable, or head. A row of kind LOST counts for what it stands for.
        """
        return self._tally.before(position, head=self.head)

    def uuids(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Write the rows' uuids as ASCII, uint8 of shape (n, 36): the same for ever."""
        return self._uuids.text(positions)

    def find_uuid(self, text: str) -> int | None:
        """Find the position that a uuid is of, readable or not; None if it is of none."""
        return self._uuids.position(text)

    async def wait_beyond(self, position: int) -> None:
        """Wait until a row stands at `position`; returns at once if it does.

        Cancelling it leaves nothing behind.
        """
        while self.head <= position:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def statistics(self) -> TableStatistics:
        """Count what the table holds and has held."""
        oldest = self.oldest
        rows = self.head - oldest
        return TableStatistics(
            rows=rows,
            capacity=self.capacity,
            appended={kind: n for kind in EventKind if (n := int(self._appended[kind]))},
            oldest_ns=int(self.columns["time_ns"][oldest & self.capacity]) if rows else None,
        )

    def _ascend(self, times: NDArray[np.int64]) -> None:
        least_ns = self.watermark.time_ns
        if times[0] < least_ns or (times[1:] < times[:-1]).any():
            times[0] = max(int(times[0]), least_ns)
            np.maximum.accumulate(times, out=times)
        self.watermark.raise_to(int(times[-1]))

    def _copy(self, rows: Rows, start: int, stop: int) -> None:
        """Append at most `capacity` rows, which already hold what they refer to."""
        leaving = max(0, self.head + stop - start - self.capacity)
        for segment in self.segments(self.oldest, leaving):
            for name, interns in self._held.items():
                interns.release(self.columns[name][segment])
        for segment in self.segments(self.head, self.head + stop - start):
            count = segment.stop - segment.start
            for name, column in self.columns.items():
                column[segment] = rows.columns[name][start : start + count]
            start += count
            self.head += count
        self._forget_details()

    def _count(self, rows: Rows) -> None:
        kinds = rows.columns["kind"]
        counts = count_rows(kinds)
        self._appended += counts
        events = count_events(counts, kinds, rows.columns["bytes"])
        self._tally.add(events, head=self.head, oldest=self.oldest)

    def _count_events(self, start: int, stop: int) -> NDArray[np.int64]:
        total = np.zeros(256, np.int64)
        for segment in self.segments(start, stop):
            kinds = self.columns["kind"][segment]
            total += count_events(count_rows(kinds), kinds, self.columns["bytes"][segment])
        return total

    def _forget_details(self) -> None:
        oldest = self.oldest
        while self._details:
            position = next(iter(self._details))
            if position >= oldest:
                break
            del self._details[position]

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _held_columns(interns: Interns) -> dict[str, InternTable[Any]]:
    """Say which columns hold entries of which intern table."""
    return {
        "source_ref": interns.endpoints,
        "destination_ref": interns.endpoints,
        "source_service_ref": interns.services,
        "destination_service_ref": interns.services,
        "source_names_ref": interns.names,
        "destination_names_ref": interns.names,
        "xlated_ref": interns.addresses,
        "interface_ref": interns.interfaces,
        "policies_ref": interns.policies,
    }
