"""Progress: who asks for it hears how far a stream is, and its times never run backwards."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.lane.wire import Framed
from api.proto.flow.flow_pb2 import FlowFilter, Verdict
from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
)
from observer.encode import AgentEncoder
from observer.query import FlowQuery, FlowRequest
from observer.query.progress import INTERVAL_S, Progress
from tests.observer.query.rows import START_NS, Event, Node, answers, responses, times

DROPPED = FlowFilter(verdict=[Verdict.DROPPED])
IN_VAIN = FlowFilter(verdict=[Verdict.ERROR])


class Clock:
    """Stands still until it is moved, or moves by itself a little whenever it is read."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 100.0
        self._step_s = step_s

    def __call__(self) -> float:
        self.now_s += self._step_s
        return self.now_s


def query(
    node: Node, clock: Clock, request: GetFlowsRequest, *, progress: bool = True
) -> FlowQuery:
    return FlowQuery(
        FlowRequest.parse(request, node_name="n", node_labels=()),
        table=node.table,
        encoder=node.encoder,
        ledger=node.ledger,
        progress=progress,
        wall_ns=lambda: START_NS + 10**12,
        clock_s=clock,
    )


def test_less_often_for_who_asks_so() -> None:
    clock = Clock()
    told = Progress(wanted=True, clock_s=clock, interval_s=0.05)
    assert told.wait_s == pytest.approx(0.05)
    clock.now_s += 0.04
    assert not told.is_due
    clock.now_s += 0.02
    assert told.is_due
    told.sent()
    assert told.wait_s == pytest.approx(0.05)


def is_progress(response: GetFlowsResponse) -> bool:
    return response.WhichOneof("response_types") is None


async def idle(node: Node) -> None:
    """Let others run until one of them waits for the next row."""
    for _ in range(100):
        if node.table._waiting:
            return
        await asyncio.sleep(0)
    raise AssertionError("nobody waits")


async def one(stream: AsyncGenerator[Framed]) -> GetFlowsResponse:
    [response] = responses(await anext(stream))
    return response


async def test_an_idle_stream_says_how_far_the_table_is() -> None:
    node, clock = Node(63), Clock()
    node.append_flows(3)
    stream = query(node, clock, GetFlowsRequest(follow=True)).run()
    assert times([await one(stream)]) == [2]
    for later in (5, 7, 7):
        node.table.watermark.raise_to(START_NS + later)
        clock.now_s += INTERVAL_S
        said = await one(stream)
        assert is_progress(said)
        assert (times([said]), said.node_name) == ([later], "default/n")
    await stream.aclose()


async def test_the_watermark_is_watched_only_while_somebody_waits_for_it() -> None:
    node, clock = Node(63), Clock()
    watermark = node.table.watermark
    for progress in (True, False):
        stream = query(node, clock, GetFlowsRequest(follow=True), progress=progress).run()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(one(stream))
            await idle(node)
            assert watermark.is_watched() == progress
            waiting.cancel()
        assert not watermark.is_watched()
        await stream.aclose()


async def test_a_stream_that_waits_wakes_up_by_itself() -> None:
    node = Node(63)
    parsed = FlowRequest.parse(GetFlowsRequest(follow=True), node_name="n", node_labels=())
    stream = FlowQuery(
        parsed, table=node.table, encoder=node.encoder, ledger=node.ledger, progress=True
    ).run()
    async with asyncio.timeout(10):
        assert is_progress(await one(stream))
        assert is_progress(await one(stream))
    await stream.aclose()


async def test_flows_that_do_not_match_move_it() -> None:
    node, clock = Node(63), Clock()
    stream = query(node, clock, GetFlowsRequest(follow=True, whitelist=[DROPPED])).run()
    for head in (4, 8):
        node.append_flows(4)
        clock.now_s += INTERVAL_S
        said = await one(stream)
        # the row that is next is not looked at yet; what is before it was
        assert is_progress(said)
        assert times([said])[0] <= head - 1
    node.append_flows(1, dropped=True)
    assert times([await one(stream)]) == [8]
    await stream.aclose()


async def test_a_long_way_without_a_match_is_told_of() -> None:
    node, clock = Node((1 << 18) - 1), Clock(step_s=INTERVAL_S / 4)
    node.append_flows(200_000)
    node.append_flows(1, dropped=True)
    request = GetFlowsRequest(whitelist=[DROPPED])
    found = await answers(query(node, clock, request))
    assert [is_progress(each) for each in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > 3
    assert times(found) == sorted(times(found))
    assert times(found)[-1] == 200_000


async def test_a_stream_that_is_always_due_still_goes_on() -> None:
    node = Node((1 << 17) - 1)
    node.append_flows(100_000)
    request = GetFlowsRequest(whitelist=[IN_VAIN])
    async with asyncio.timeout(30):
        found = await answers(query(node, Clock(step_s=1.0), request))
    assert found
    assert all(map(is_progress, found))


async def test_who_does_not_ask_hears_nothing() -> None:
    node, clock = Node((1 << 18) - 1), Clock(step_s=INTERVAL_S)
    node.append_flows(200_000)
    request = GetFlowsRequest(whitelist=[IN_VAIN])
    assert [_ async for _ in query(node, clock, request, progress=False).run()] == []


async def test_a_stream_that_says_something_needs_to_say_no_more() -> None:
    node, clock = Node(4095), Clock()
    stream = query(node, clock, GetFlowsRequest(follow=True)).run()
    found = []
    for _ in range(10):
        node.append_flows(1)
        found += responses(await anext(stream))
        clock.now_s += INTERVAL_S * 0.9
    assert not any(map(is_progress, found))
    await stream.aclose()


async def test_the_report_of_a_gap_stands_where_the_gap_is() -> None:
    node, clock = Node(15), Clock()
    node.append_flows(10)
    stream = query(node, clock, GetFlowsRequest(follow=True, number=10)).run()
    assert len(responses(await anext(stream))) == 10
    node.append_flows(100)
    report = await one(stream)
    assert report.lost_events.num_events_lost == 85
    assert times([report]) == [95]
    assert times(responses(await anext(stream)))[0] == 95
    await stream.aclose()


async def test_streams_of_agent_events_say_it_too() -> None:
    node, clock = Node(63), Clock()
    node.append_flows(3)
    stream = FlowQuery(
        FlowRequest.parse_agent(GetAgentEventsRequest(follow=True)),
        table=node.table,
        encoder=AgentEncoder(node.table, node_name="default/n"),
        ledger=node.ledger,
        progress=True,
        clock_s=clock,
    ).run()
    node.table.watermark.raise_to(START_NS + 50)
    clock.now_s += INTERVAL_S
    framed = await anext(stream)
    said = GetAgentEventsResponse.FromString(framed.data[5:])
    assert said == GetAgentEventsResponse(node_name="default/n", time=said.time)
    assert said.time.ToNanoseconds() == START_NS + 50
    await stream.aclose()


ACTIONS = st.lists(
    st.sampled_from(["flow", "dropped", "lost", "many", "watermark", "wait", "read", "read"]),
    max_size=60,
)


@given(actions=ACTIONS, follow=st.booleans(), rare=st.booleans())
@settings(max_examples=150, deadline=None)
async def test_times_never_run_backwards(actions: list[str], follow: bool, rare: bool) -> None:
    node, clock = Node(15), Clock()
    request = GetFlowsRequest(follow=follow, number=5 if follow else 0)
    request.whitelist.extend([DROPPED] if rare else [])
    stream = query(node, clock, request).run()
    node.append_flows(4)
    found: list[GetFlowsResponse] = []
    for action in actions:
        await _act(action, node, clock)
        if action == "read":
            clock.now_s += INTERVAL_S  # so that there is something to read in any case
            try:
                found += responses(await anext(stream))
            except StopAsyncIteration:
                break
    await stream.aclose()
    assert times(found) == sorted(times(found))


async def _act(action: str, node: Node, clock: Clock) -> None:
    now_ns = max(node.table.watermark.time_ns, START_NS)
    match action:
        case "flow" | "dropped" | "lost":
            # some of them late: their times are raised
            node.append([Event(now_ns - 3, action == "dropped", action == "lost")])
        case "many":
            node.append([Event(now_ns + offset) for offset in range(20)])
        case "watermark":
            node.table.watermark.raise_to(now_ns + 100)
        case _:
            clock.now_s += 0.4
