"""Agent events among flows: each kind of query sees its own rows, whatever else the table has."""

from hypothesis import given
from hypothesis import strategies as st

from api.lane.wire import PREFIX, PREFIX_BYTES
from api.proto.flow.flow_pb2 import AgentEvent, AgentEventType
from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetFlowsRequest,
)
from observer.agent_log import AgentLog
from observer.encode import AgentEncoder
from observer.ledger import Stage
from observer.query import FlowQuery, FlowRequest, flows_rate
from tests.observer.query.rows import START_NS, Event, Node, answers

KINDS = ("flow", "agent", "lost")


class MixedNode(Node):
    """A table of flows, gaps and agent events, one nanosecond apart."""

    def add(self, kinds: list[str]) -> None:
        for kind in kinds:
            number = self.table.head
            if kind == "agent":
                log = AgentLog(self.table, wall_ns=lambda at=START_NS + number: at)  # type: ignore[misc]
                event = AgentEvent(type=AgentEventType.POLICY_UPDATED)
                event.policy_update.revision = number
                log.add([event])
                log.write()
            else:
                self.append([Event(START_NS + number, lost=kind == "lost")])

    def agent_query(self, request: GetAgentEventsRequest) -> FlowQuery:
        return FlowQuery(
            FlowRequest.parse_agent(request),
            table=self.table,
            encoder=AgentEncoder(self.table, node_name="default/n"),
            ledger=self.ledger,
        )


async def revisions(query: FlowQuery) -> list[int]:
    """Which agent events a query that ends gives: their positions."""
    found = []
    async for framed in query.run():
        data, start = framed.data, 0
        for _ in range(framed.count):
            _, size = PREFIX.unpack_from(data, start)
            start += PREFIX_BYTES
            response = GetAgentEventsResponse.FromString(data[start : start + size])
            start += size
            revision = response.agent_event.policy_update.revision
            assert response.time.ToNanoseconds() == START_NS + revision
            found.append(revision)
        assert start == len(data)
    return found


@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=40),
    number=st.integers(0, 10),
    first=st.booleans(),
)
async def test_each_query_sees_its_own(kinds: list[str], number: int, first: bool) -> None:
    node = MixedNode(15)
    node.add(kinds)
    kept = range(max(0, len(kinds) - 15), len(kinds))
    mine = [position for position in kept if kinds[position] == "agent"]
    wanted = mine if not number else mine[:number] if first else mine[-number:]
    request = GetAgentEventsRequest(number=number, first=first)
    assert await revisions(node.agent_query(request)) == wanted
    found = await answers(node.query(GetFlowsRequest()))
    shown = [response.WhichOneof("response_types") for response in found]
    names = {"flow": "flow", "lost": "lost_events"}
    assert shown == [names[kinds[at]] for at in kept if kinds[at] != "agent"]


async def test_a_reader_that_is_overtaken_goes_on_and_what_it_missed_is_counted() -> None:
    node = MixedNode(7)
    node.add(["agent", "flow"])
    running = node.agent_query(GetAgentEventsRequest(follow=True, number=1)).run()
    assert (await anext(running)).count == 1
    node.add(["flow", "agent", "lost"] * 7)
    assert (await anext(running)).count == 0  # the report, for which there is no message
    assert (await anext(running)).count == 2
    assert node.ledger.total(Stage.READER) == 7 - 2
    await running.aclose()


async def test_flows_that_were_overwritten_are_no_loss_to_who_reads_agent_events() -> None:
    node = MixedNode(7)
    node.add(["agent"])
    running = node.agent_query(GetAgentEventsRequest(follow=True)).run()
    assert (await anext(running)).count == 1
    node.add(["flow"] * 20 + ["agent"])
    assert (await anext(running)).count == 1
    assert node.ledger.total(Stage.READER) == 0
    await running.aclose()


async def test_agent_events_are_no_flows_in_the_rate() -> None:
    node = MixedNode(15)
    node.add(["flow", "agent", "flow", "lost", "agent"])
    assert flows_rate(node.table, START_NS + 1_000_000_000) == 2.0
