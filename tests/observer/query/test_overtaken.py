"""Readers that the ring overtakes: what they are told, how often, and what they hold."""

import asyncio

from api.proto.flow.flow_pb2 import LostEventSource
from observer.ledger import Stage
from observer.query import FlowQuery
from observer.query.request import FlowRequest
from tests.observer.query.asking import request
from tests.observer.query.rows import (
    START_NS,
    Event,
    Node,
    answers,
    overwritten,
    responses,
    times,
)


async def test_an_overtaken_reader_is_told_the_exact_count_and_range() -> None:
    node = Node(1023)
    node.append_flows(1000)
    stream = node.query(request()).run()
    first = responses(await anext(stream))
    node.append_flows(1000)
    rest = [response async for framed in stream for response in responses(framed)]
    gap = rest[0].lost_events
    delivered = len(first) + len(rest) - 1
    oldest = node.table.oldest
    assert gap.source == LostEventSource.HUBBLE_RING_BUFFER
    assert gap.num_events_lost == oldest - len(first)
    assert delivered + gap.num_events_lost == 1000
    assert times(rest[1:]) == list(range(oldest, 1000))
    assert node.ledger.snapshot() == ((Stage.READER, "reader overtaken", gap.num_events_lost),)
    assert gap.first.nanos == (START_NS + len(first)) % 10**9
    assert gap.last.nanos == (START_NS + oldest) % 10**9
    assert not gap.HasField("cpu")


async def test_all_that_was_asked_for_may_be_overwritten() -> None:
    node = Node(1023)
    node.append_flows(1000)
    stream = node.query(request()).run()
    first = await anext(stream)
    node.append_flows(5000)
    rest = [response async for framed in stream for response in responses(framed)]
    assert overwritten(rest) == [1000 - first.count]
    assert len(rest) == 1


async def test_gaps_do_not_count_as_flows() -> None:
    node = Node(63)
    node.append([Event(START_NS), Event(START_NS + 1, lost=True), Event(START_NS + 2)])
    assert times(await answers(node.query(request(number=2)))) == [0, 1, 2]
    assert times(await answers(node.query(request(number=1, first=True)))) == [0]


async def test_a_follower_gets_one_report_a_second_with_the_sum() -> None:
    node = Node(15)
    now_s = 100.0
    asked = FlowRequest.parse(request(follow=True), node_name="n", node_labels=())
    query = FlowQuery(
        asked,
        table=node.table,
        encoder=node.encoder,
        ledger=node.ledger,
        wall_ns=lambda: START_NS,
        clock_s=lambda: now_s,
    )
    node.append_flows(1)
    stream = query.run()
    found = responses(await anext(stream))
    for _ in range(3):
        node.append_flows(100)
        found += responses(await anext(stream))
        found += responses(await anext(stream)) if found[-1].HasField("lost_events") else []
    assert overwritten(found) == [85]
    now_s += 1
    node.append_flows(100)
    while found[-1].time.nanos != (START_NS + node.table.head - 1) % 10**9:
        found += responses(await anext(stream))
    await stream.aclose()
    reports = overwritten(found)
    assert len(reports) == 2
    assert reports[1] >= 3 * 85
    flows = [response for response in found if response.HasField("flow")]
    assert len(flows) + sum(reports) == node.table.head
    assert node.ledger.total(Stage.READER) == sum(reports)


async def test_a_report_that_is_due_does_not_wait_for_the_next_flow() -> None:
    node = Node(15)
    now_s = 100.0
    asked = FlowRequest.parse(request(follow=True, dropped=True), node_name="n", node_labels=())
    query = FlowQuery(
        asked,
        table=node.table,
        encoder=node.encoder,
        ledger=node.ledger,
        clock_s=lambda: now_s,
    )
    node.append_flows(1, dropped=True)
    stream = query.run()
    await anext(stream)
    node.append_flows(100)
    assert overwritten(responses(await anext(stream))) == [85]
    # Nothing matches any more: what the second gap needs is the passing of time alone.
    node.append_flows(99)
    node.append_flows(1, dropped=True)
    assert overwritten(responses(await anext(stream))) == []
    now_s += 0.99

    def later() -> None:
        nonlocal now_s
        now_s += 0.02

    asyncio.get_running_loop().call_soon(later)
    assert overwritten(responses(await anext(stream))) == [100]
    await stream.aclose()


async def test_a_reader_that_takes_nothing_holds_no_rows() -> None:
    node = Node(63)
    node.append_flows(60)
    stream = node.query(request()).run()
    await anext(stream)
    held = node.table.interns
    for number in range(50):
        node.append_flows(63)
        assert len(held.endpoints) == 0
        assert node.table.head == 60 + 63 * (number + 1)
    await stream.aclose()
