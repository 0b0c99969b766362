"""The query: walks the table from its start and yields framed responses.

It holds a position and nothing of the rows, so that a client which takes ten messages a second
costs as little as one that takes all:

        oldest          position           head (or, without follow, the head at the start)
    ──────┬─────────────────┬───────────────┬────
          │ behind us       │ a turn: scan, │
          │                 │ encode, yield │

A turn takes as many rows as fit into a millisecond or so, then lets others run. Where the writer
overtook the reader, the count of the rows lost is reported and reading goes on at `oldest`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from api.lane.wire import Framed
from api.proto.observer.observer_pb2 import GetFlowsRequest
from observer.encode import FieldMask, FlowEncoder
from observer.entities import LostEvents
from observer.ledger import Ledger, Stage
from observer.query.gaps import Gaps
from observer.query.messages import RowMessages
from observer.query.pace import ENCODE_TARGET_S, SCAN_TARGET_S, TURN_S, Pace
from observer.query.progress import INTERVAL_S, Progress
from observer.query.request import FlowRequest
from observer.query.start import start_position
from observer.query.step import Step, judged, undivided
from observer.table.columns import EventKind
from observer.table.ring import FlowTable
from observer.table.tally import Counts

OVERTAKEN: Final = "reader overtaken"
"""Reason in the ledger."""

# First steps meet endpoints that no cache and no filter knows yet: they are the slow ones.
_ENCODE_ROWS: Final = 64
_ENCODE_ROWS_WARM: Final = 256
_SCAN_ROWS: Final = 65_536
_LEAST_SCAN_ROWS: Final = 256
_MANY_ENDPOINTS: Final = 2_048
_SCAN_ROWS_OF_MANY: Final = 4_096
_FEW_VALUES: Final = 8
"""In filters: so many can be judged as rows are met."""


class RowEncoder(Protocol):
    """Makes messages of rows: FlowEncoder, AgentEncoder."""

    def is_warm(self, paths: FieldMask | None, /) -> bool:
        """Whether a row takes no longer than it will later."""

    def encode_parts(
        self, positions: NDArray[np.int64], *, paths: FieldMask | None, details: bool
    ) -> Iterator[Framed]:
        """Encode readable rows."""

    def lost(self, lost: LostEvents, /, *, time_ns: int) -> Framed:
        """Encode the report of a gap; empty if the stream has no room for it."""

    def progress(self, time_ns: int, /) -> Framed:
        """Encode that nothing older will follow."""


class FlowQuery:
    """One client's request on the table of this node."""

    def __init__(
        self,
        request: FlowRequest,
        *,
        table: FlowTable,
        encoder: RowEncoder,
        ledger: Ledger,
        details: bool = False,
        progress: bool = False,
        progress_interval_s: float = INTERVAL_S,
        wall_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take a checked request.

        Args:
            request: what is asked.
            table: the rows.
            encoder: the encoder of rows of the kind asked for.
            ledger: where overwritten rows are counted.
            details: add leavitt.FlowDetails to each flow.
            progress: say how far the stream is where nothing else was sent for a while.
            progress_interval_s: how long that is.
            wall_ns: time of reports.
            clock_s: measures steps.
        """
        self._request = request
        self._table = table
        self._encoder = encoder
        self._ledger = ledger
        self._details = details
        self._wall_ns = wall_ns
        self._clock_s = clock_s
        many = len(table.interns.endpoints) > _MANY_ENDPOINTS
        most = request.selection.most_rows
        scan_rows = _SCAN_ROWS_OF_MANY if many else _SCAN_ROWS
        scan_rows //= 1 + request.selection.value_count // _FEW_VALUES
        self._scan = Pace(
            target_s=SCAN_TARGET_S,
            rows=min(scan_rows, most),
            least=min(_LEAST_SCAN_ROWS, most),
            most=most,
        )
        encode_rows = _ENCODE_ROWS_WARM if encoder.is_warm(request.mask) else _ENCODE_ROWS
        self._encode = Pace(target_s=ENCODE_TARGET_S, rows=encode_rows, least=32, most=2_048)
        self._gaps = Gaps(patient=request.follow, clock_s=clock_s)
        self._progress = Progress(wanted=progress, clock_s=clock_s, interval_s=progress_interval_s)
        self._takes_all = request.sends_everything and request.until_ns is None
        self._kinds = request.kinds(np.arange(256, dtype=np.uint8))
        self.position: int | None = None
        """Of the row that is read next; None before the first."""
        self._seen_ns = 0
        """Time of the next row if it was there when last looked, else of the one before."""
        self._seen_events = np.zeros(256, np.int64)
        """By kind: how many came before the next row."""

    @classmethod
    def from_request(
        cls,
        request: GetFlowsRequest,
        *,
        table: FlowTable,
        encoder: FlowEncoder,
        ledger: Ledger,
        details: bool = False,
        progress: bool = False,
        progress_interval_s: float = INTERVAL_S,
    ) -> "FlowQuery":
        """Check a request; arguments as for the constructor.

        Raises:
            InvalidQueryError: gRPC status INVALID_ARGUMENT.
            QueryError: gRPC status UNKNOWN.
        """
        parsed = FlowRequest.parse(
            request,
            node_name=encoder.node_name,
            node_labels=encoder.node_labels,
            flows=RowMessages(encoder),
        )
        return cls(
            parsed,
            table=table,
            encoder=encoder,
            ledger=ledger,
            details=details,
            progress=progress,
            progress_interval_s=progress_interval_s,
        )

    async def run(self) -> AsyncGenerator[Framed]:
        """Yield responses until the query ends; with follow, until the generator is closed.

        Each item is a few hundred responses at most. Cancelling it or closing it leaves nothing
        behind; rows that were not yielded are not counted as lost.

        Raises:
            QueryError: a filter turned out to take too long.
        """
        request, table = self._request, self._table
        await self._judge()
        stop = None if request.follow else table.head
        missing = request.number if request.number and not request.follow else None
        stop_events = table.events_before(table.head)
        position = await start_position(table, request, self._scan, self._clock_s)
        self._see(position)
        while True:
            await table.turns.next()
            position = self.position = self._note_gap(position, stop, stop_events)
            if self._gaps.wait_s == 0:
                yield self._report(position)
                # Meanwhile the writer went on, perhaps over our position again.
                continue
            head = table.head if stop is None else stop
            if position >= head:
                if stop is not None:
                    break
                if self._progress.is_due:
                    yield self._said_progress(position)
                else:
                    await self._wait(position)
                continue
            if self._is_before_since(position):
                # `since` lies ahead of what there was: rows that have come may still be older.
                position = min(max(position + 1, table.position_at(request.since_ns or 0)), head)
                self._see(position)
                continue
            step = self._turn(position, head, missing)
            self._see(step.next)
            if len(step.positions):
                for number, framed in enumerate(self._encoded(step.positions)):
                    if number:
                        # writing takes as long as encoding: a pass of the loop for each part
                        await asyncio.sleep(0)
                        await table.turns.next()
                    self._progress.sent()
                    yield framed
            elif self._progress.is_due:
                yield self._said_progress(step.next)
            position = step.next
            if missing is not None:
                missing -= step.flow_count
            if step.ended or missing == 0 or position == stop:
                break
            await asyncio.sleep(0)
        if self._gaps.wait_s is not None:
            yield self._report(position)

    async def _judge(self) -> None:
        """Judge what rows refer to before they are looked at, where that takes long."""
        selection = self._request.selection
        if selection.value_count <= _FEW_VALUES:
            return
        began_s = self._clock_s()
        for _ in selection.judge(self._table):
            if self._clock_s() - began_s > SCAN_TARGET_S:
                await self._table.turns.next()
                began_s = self._clock_s()

    def _is_before_since(self, position: int) -> bool:
        since_ns = self._request.since_ns
        return since_ns is not None and self._time_ns(position) < since_ns

    def _note_gap(self, position: int, stop: int | None, stop_events: Counts) -> int:
        """Count what was overwritten before it was read; return where to go on."""
        table = self._table
        oldest = table.oldest if stop is None else min(table.oldest, stop)
        if position >= oldest:
            return position
        events = table.events_before(oldest) if oldest == table.oldest else stop_events
        count = int((events - self._seen_events)[self._kinds].sum())
        last_ns = self._time_ns(table.oldest)
        if count:
            self._gaps.add(count, first_ns=self._seen_ns or last_ns, last_ns=last_ns)
            self._ledger.count(Stage.READER, OVERTAKEN, count)
        self._seen_events, self._seen_ns = events, last_ns
        return oldest

    def _report(self, position: int) -> Framed:
        """Tell of gaps: now, or where times must not run ahead of the rows, with their time."""
        time_ns = self._until_ns(position) if self._progress.wanted else self._wall_ns()
        self._progress.sent()
        return self._encoder.lost(self._gaps.take(), time_ns=time_ns)

    def _said_progress(self, position: int) -> Framed:
        self._progress.sent()
        return self._encoder.progress(self._until_ns(position))

    def _until_ns(self, position: int) -> int:
        """Return the time before which no row stands at the position or beyond it."""
        if position < self._table.head:
            return self._time_ns(max(position, self._table.oldest))
        return self._table.watermark.time_ns

    async def _wait(self, position: int) -> None:
        """Wait for the next row, but not beyond the time at which something must be said."""
        waits_s = [each for each in (self._gaps.wait_s, self._progress.wait_s) if each is not None]
        try:
            async with asyncio.timeout(min(waits_s, default=None)):
                if self._progress.wanted:
                    with self._table.watermark.watched():
                        await self._table.wait_beyond(position)
                else:
                    await self._table.wait_beyond(position)
        except TimeoutError:
            pass

    def _turn(self, position: int, head: int, missing: int | None) -> Step:
        """Find the rows to send in the next slices, as many as there is time and room for."""
        began_s = self._clock_s()
        steps: list[Step] = []
        found, room = 0, self._encode.rows
        while True:
            step = self._step(position, head, missing, room)
            steps.append(step)
            position = step.next
            found += len(step.positions)
            if missing is not None:
                missing -= step.flow_count
            room = self._room(self._clock_s() - began_s) - found
            if step.ended or missing == 0 or position >= head or room <= 0:
                return Step.joined(steps)

    def _room(self, used_s: float) -> int:
        """Return how many rows can be encoded in what is left of a turn after one more slice."""
        left_s = TURN_S - used_s - SCAN_TARGET_S
        return int(self._encode.rows * min(left_s / ENCODE_TARGET_S, 1.0))

    def _step(self, position: int, head: int, missing: int | None, room: int) -> Step:
        """Find rows to send in the next slice of the table, at most so many as there is room."""
        if self._takes_all:
            wanted = room if missing is None else min(room, missing)
            whole = undivided(self._table, position, min(head, position + wanted))
            if whole is not None:
                return whole
        began_s = self._clock_s()
        request, pace = self._request, self._scan
        count = room if request.sends_everything else pace.rows
        rows = self._table.segments(position, min(head, position + count))[0]
        scanned = rows.stop - rows.start
        found = np.flatnonzero(judged(request, self._table, rows))
        end = self._end(rows)
        found = found[: np.searchsorted(found, end)]
        flows = self._table.columns["kind"][rows][found] != EventKind.LOST
        kept = min(_length_with(flows, missing), room)
        cut = kept < len(found)
        found = found[:kept]
        if cut:
            # The rest is looked at again: take only as many rows next time.
            scanned = int(found[-1]) + 1
            pace.limit(scanned)
        else:
            pace.took(scanned, self._clock_s() - began_s)
        ended = not cut and end < rows.stop - rows.start
        return Step(
            positions=position + found,
            flow_count=int(np.count_nonzero(flows[:kept])),
            next=position + scanned,
            ended=ended,
        )

    def _end(self, rows: slice) -> int:
        """Return the index of the first flow in the slice that is younger than `until`."""
        until_ns = self._request.until_ns
        if until_ns is None:
            return int(rows.stop - rows.start)
        index = int(np.searchsorted(self._table.columns["time_ns"][rows], until_ns, "right"))
        flows = self._table.columns["kind"][rows][index:] != EventKind.LOST
        # Gaps are reported whenever they are met.
        return index + (int(np.argmax(flows)) if flows.any() else len(flows))

    def _encoded(self, positions: NDArray[np.int64]) -> Iterator[Framed]:
        """Encode rows now; to join the parts is left to those who send them."""
        began_s = self._clock_s()
        parts = self._encoder.encode_parts(
            positions, paths=self._request.mask, details=self._details
        )
        self._encode.took(len(positions), self._clock_s() - began_s)
        return parts

    def _see(self, position: int) -> None:
        """Remember where we are: what is overwritten from here on was missed."""
        self._seen_events = self._table.events_before(position)
        self._seen_ns = self._time_ns(min(position, self._table.head - 1))

    def _time_ns(self, position: int) -> int:
        return int(self._table.columns["time_ns"][position & self._table.capacity])


def _length_with(flows: NDArray[np.bool_], missing: int | None) -> int:
    """Return how many rows hold at most `missing` flows, gaps before the last one included."""
    if missing is None or len(flows) <= missing or np.count_nonzero(flows) < missing:
        return len(flows)
    return int(np.flatnonzero(flows)[missing - 1]) + 1
