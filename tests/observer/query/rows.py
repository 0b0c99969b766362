"""Small tables whose rows can be told apart by their time, and a way to read answers."""

from collections.abc import Sequence
from typing import NamedTuple

from api.lane.wire import Framed
from api.proto.flow.flow_pb2 import Verdict
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from observer.encode import FlowEncoder
from observer.entities import LostEvents
from observer.ledger import Ledger
from observer.query import FlowQuery
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows

START_NS = 1_772_600_000_000_000_000
LOST_SOURCE = 1


class Event(NamedTuple):
    """A row: a flow that is dropped or not, or a gap."""

    time_ns: int
    dropped: bool = False
    lost: bool = False


class Node:
    """A table with its encoder and ledger."""

    def __init__(self, capacity: int) -> None:
        self.table = FlowTable(capacity=capacity, interns=Interns(), seed=1)
        self.encoder = FlowEncoder(
            self.table, self.table.interns, node_name="default/n", emitter=("Hubble", "1")
        )
        self.ledger = Ledger()

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.lost:
                lost = LostEvents(
                    source=LOST_SOURCE, count=1, cpu=0, first_ns=None, last_ns=event.time_ns
                )
                self.table.append_lost(lost, event.time_ns)
            else:
                self.table.append(_row(event))

    def append_flows(self, count: int, *, dropped: bool = False) -> None:
        """Append flows, each one nanosecond after the one before; the first at START_NS."""
        first = self.table.head
        rows = Rows.zeros(count)
        rows.columns["kind"][:] = EventKind.TRACE
        rows.columns["verdict"][:] = Verdict.DROPPED if dropped else Verdict.FORWARDED
        rows.columns["time_ns"][:] = range(START_NS + first, START_NS + first + count)
        self.table.append(rows)

    def query(self, request: GetFlowsRequest) -> FlowQuery:
        return FlowQuery.from_request(
            request, table=self.table, encoder=self.encoder, ledger=self.ledger
        )


def _row(event: Event) -> Rows:
    rows = Rows.zeros(1)
    rows.columns["kind"][:] = EventKind.DROP if event.dropped else EventKind.TRACE
    rows.columns["verdict"][:] = Verdict.DROPPED if event.dropped else Verdict.FORWARDED
    rows.columns["time_ns"][:] = event.time_ns
    return rows


def responses(framed: Framed) -> list[GetFlowsResponse]:
    found, data = [], framed.data
    while data:
        stop = 5 + int.from_bytes(data[1:5])
        found.append(GetFlowsResponse.FromString(data[5:stop]))
        data = data[stop:]
    assert len(found) == framed.count
    return found


async def answers(query: FlowQuery) -> list[GetFlowsResponse]:
    """All responses of a query that ends."""
    return [response async for framed in query.run() for response in responses(framed)]


def times(found: list[GetFlowsResponse]) -> list[int]:
    """When each flow was, counted from START_NS; gaps of the table too."""
    return [(response.time.seconds * 10**9 + response.time.nanos) - START_NS for response in found]


def overwritten(found: list[GetFlowsResponse]) -> list[int]:
    """How many rows each report of an overtaken reader counts."""
    return [
        response.lost_events.num_events_lost
        for response in found
        if response.HasField("lost_events") and response.lost_events.source != LOST_SOURCE
    ]
