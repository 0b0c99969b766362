"""Nothing is lost untold: what a reader got and what it was told it lost are all there was."""

import asyncio
from collections.abc import AsyncGenerator

from hypothesis import given, settings
from hypothesis import strategies as st

from api.lane.wire import Framed
from api.proto.flow.flow_pb2 import AgentEvent, AgentEventType, FlowFilter, Verdict
from api.proto.observer.observer_pb2 import GetFlowsRequest
from observer.agent_log import AgentLog
from observer.entities import LostEvents
from observer.ledger import Stage
from observer.query import FlowQuery, FlowRequest
from tests.observer.query.rows import LOST_SOURCE, START_NS, Node, answers, overwritten, responses

CAPACITY = 15


class CountingNode(Node):
    """A table, and how many events ever went in: flows and what gaps stand for."""

    def __init__(self) -> None:
        super().__init__(CAPACITY)
        self.clock_s = 100.0
        self.event_count = 0
        self._log = AgentLog(self.table, wall_ns=lambda: START_NS + self.table.head)

    def add(self, kind: str, count: int) -> None:
        """Append so many flows in one batch, or one row of another kind."""
        match kind:
            case "flows":
                self.append_flows(count, dropped=count % 3 == 0)
                self.event_count += count
            case "lost":
                lost = LostEvents(
                    source=LOST_SOURCE, count=count, cpu=0, first_ns=None, last_ns=START_NS
                )
                self.table.append_lost(lost, START_NS + self.table.head)
                self.event_count += count
            case _:
                self._log.add([AgentEvent(type=AgentEventType.AGENT_STARTED)])
                self._log.write()

    def reader(self, request: GetFlowsRequest) -> AsyncGenerator[Framed]:
        return FlowQuery(
            FlowRequest.parse(request, node_name="n", node_labels=()),
            table=self.table,
            encoder=self.encoder,
            ledger=self.ledger,
            clock_s=lambda: self.clock_s,
        ).run()


def told(framed: Framed) -> int:
    """How many events some responses stand for."""
    return sum(
        1 if response.HasField("flow") else response.lost_events.num_events_lost
        for response in responses(framed)
    )


WRITES = st.tuples(
    st.sampled_from(["flows", "flows", "lost", "agent"]), st.integers(1, CAPACITY + 5)
)
STEPS = st.lists(st.lists(WRITES, max_size=6), max_size=15)


@given(steps=STEPS, pauses=st.lists(st.sampled_from([0.0, 0.4, 2.0]), min_size=15))
@settings(max_examples=150, deadline=None)
async def test_a_follower_is_told_of_every_event(
    steps: list[list[tuple[str, int]]], pauses: list[float]
) -> None:
    node = CountingNode()
    node.add("flows", 1)
    stream = node.reader(GetFlowsRequest(follow=True))
    total = told(await anext(stream))
    for writes, pause_s in zip(steps, pauses, strict=False):
        for kind, count in [*writes, ("flows", 1)]:  # something to read in any case
            node.add(kind, count)
        node.clock_s += pause_s
        total += told(await anext(stream))
    node.clock_s += 10  # now all gaps are due
    async with asyncio.timeout(20):
        while total < node.event_count:
            total += told(await anext(stream))
    assert total == node.event_count
    await stream.aclose()


@given(before=st.lists(WRITES, max_size=10), steps=STEPS)
@settings(max_examples=150, deadline=None)
async def test_who_reads_what_is_there_is_told_of_all_of_it(
    before: list[tuple[str, int]], steps: list[list[tuple[str, int]]]
) -> None:
    node = CountingNode()
    for kind, count in before:
        node.add(kind, count)
    untold_count = int(node.table.events_before(node.table.oldest)[[4, 255]].sum())
    asked_count = node.event_count - untold_count
    stream, total = node.reader(GetFlowsRequest()), 0
    async for framed in stream:
        total += told(framed)
        for kind, count in steps.pop() if steps else ():
            node.add(kind, count)
    assert total == asked_count


async def test_a_gap_that_is_overwritten_is_as_long_as_it_was() -> None:
    node = CountingNode()
    node.add("flows", 1)
    stream = node.reader(GetFlowsRequest(follow=True))
    await anext(stream)
    node.add("lost", 1_000)
    node.add("agent", 1)
    node.add("flows", CAPACITY + 4)
    assert overwritten(responses(await anext(stream))) == [1_004]
    assert node.ledger.total(Stage.READER) == 1_004
    await stream.aclose()


async def test_a_filter_does_not_change_what_is_counted() -> None:
    node = CountingNode()
    node.add("flows", 3)
    request = GetFlowsRequest(follow=True, whitelist=[FlowFilter(verdict=[Verdict.DROPPED])])
    stream = node.reader(request)
    await anext(stream)
    node.add("flows", 10)
    node.add("lost", 7)
    node.add("flows", CAPACITY)
    assert overwritten(responses(await anext(stream))) == [17]
    await stream.aclose()


async def test_what_was_lost_before_the_request_is_nobodys_loss() -> None:
    node = CountingNode()
    node.add("lost", 50)
    node.add("flows", CAPACITY)
    found = await answers(node.query(GetFlowsRequest()))
    assert overwritten(found) == []
