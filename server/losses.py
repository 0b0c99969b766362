"""Losses that no batch carries, told in the stream.

Samples that could not be decoded, events that the programs could not write because no ring was
open, and, at the start, what no server before this one told: it was killed before it read them, or
none was there. The rings' own losses come with their batches; these are looked up once a second,
and what is new becomes one row of kind LOST per stage.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

from observer.entities import LostEvents
from observer.kernel.counters import Untold
from observer.ledger import Ledger, Stage
from observer.table.ring import FlowTable

_UNKNOWN_SOURCE: Final = 0  # flow.LostEventSource
_PERF_EVENT_RING_BUFFER: Final = 1

NOT_READ: Final = "no ring open"
BEFORE_START: Final = "not read before this start"


class Accounts(Protocol):
    """Of the programs' events: observer.kernel.counters.EventAccounts."""

    def told(self, count: int) -> None:
        """So many more have become rows, or lost ones."""

    def untold(self) -> Untold:
        """What no earlier process told; asked once, before rings are open."""

    def unread(self) -> int:
        """Events since the last call that found no ring open."""


class LossReports:
    """Turns counts that grew into rows."""

    def __init__(
        self,
        *,
        table: FlowTable,
        ledger: Ledger,
        accounts: Accounts | None,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take what is watched, and tell what is untold from before: rings must not be open yet.

        Args:
            table: where the rows go.
            ledger: has the decoder's losses, gets the programs'.
            accounts: of the datapath's events; None in a replay.
            wall_ns: time of the rows.
        """
        self._table = table
        self._ledger = ledger
        self._accounts = accounts
        self._wall_ns = wall_ns
        self._decode_told = 0
        self._last_ns = wall_ns()
        if accounts is not None:
            before = accounts.untold()
            self._tell_events(accounts, before.count, BEFORE_START, before.since_wall_ns)

    def report(self) -> None:
        """Append a row for each stage that lost something since the last call."""
        decoded = self._ledger.total(Stage.DECODE)
        self._tell(decoded - self._decode_told, _UNKNOWN_SOURCE, self._last_ns)
        self._decode_told = decoded
        if self._accounts is not None:
            self._tell_events(self._accounts, self._accounts.unread(), NOT_READ, self._last_ns)
        self._last_ns = self._wall_ns()

    def _tell_events(
        self, accounts: Accounts, count: int, reason: str, since_ns: int | None
    ) -> None:
        """Told means told: the row is there before it is noted, and nobody reads in between."""
        if count <= 0:
            return
        self._ledger.count(Stage.RING, reason, count)
        self._tell(count, _PERF_EVENT_RING_BUFFER, since_ns)
        accounts.told(count)

    def _tell(self, count: int, source: int, since_ns: int | None) -> None:
        if count <= 0:
            return
        now_ns = self._wall_ns()
        lost = LostEvents(source=source, count=count, cpu=None, first_ns=since_ns, last_ns=now_ns)
        self._table.append_lost(lost, now_ns)
