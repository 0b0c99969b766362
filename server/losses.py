"""Losses that no batch carries, told in the stream.

Samples that could not be decoded, and events that the programs could not write because no ring was
open. The rings' own losses come with their batches; these are looked up once a second, and what is
new becomes one row of kind LOST per stage.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from observer.entities import LostEvents
from observer.ledger import Ledger, Stage
from observer.table.ring import FlowTable

_UNKNOWN_SOURCE: Final = 0  # flow.LostEventSource
_PERF_EVENT_RING_BUFFER: Final = 1

NOT_READ: Final = "no ring open"
_NOT_READ_COUNTERS: Final = ("unread_drop", "unread_trace", "unread_verdict")


class LossReports:
    """Turns counts that grew into rows."""

    def __init__(
        self,
        *,
        table: FlowTable,
        ledger: Ledger,
        counters: Callable[[], Mapping[str, int]] | None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take what is watched; events unread before this start count as well.

        Args:
            table: where the rows go.
            ledger: has the decoder's losses, gets the programs'.
            counters: the datapath's counters; None in a replay.
            wall_ns: time of the rows.
        """
        self._table = table
        self._ledger = ledger
        self._counters = counters
        self._wall_ns = wall_ns
        self._told = {Stage.DECODE: 0, Stage.RING: 0}
        self._last_ns = wall_ns()

    def report(self) -> None:
        """Append a row for each stage that lost something since the last call."""
        now_ns = self._wall_ns()
        decoded = self._ledger.total(Stage.DECODE)
        self._tell(Stage.DECODE, decoded, _UNKNOWN_SOURCE, now_ns)
        if self._counters is not None:
            counters = self._counters()
            unread = sum(counters[name] for name in _NOT_READ_COUNTERS)
            self._ledger.count(Stage.RING, NOT_READ, unread - self._told[Stage.RING])
            self._tell(Stage.RING, unread, _PERF_EVENT_RING_BUFFER, now_ns)
        self._last_ns = now_ns

    def _tell(self, stage: Stage, total: int, source: int, now_ns: int) -> None:
        new = total - self._told[stage]
        if new <= 0:
            return
        self._told[stage] = total
        lost = LostEvents(
            source=source, count=new, cpu=None, first_ns=self._last_ns, last_ns=now_ns
        )
        self._table.append_lost(lost, now_ns)
