"""Which rows a query answers with: against a model, and the rules one by one."""

import asyncio
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsRequest
from observer.entities import Endpoint
from observer.query import FlowQuery, InvalidQueryError, QueryError
from observer.query.request import FlowRequest
from observer.table.columns import EventKind
from observer.table.rows import Rows
from tests.observer.query.asking import request
from tests.observer.query.rows import (
    START_NS,
    Event,
    Node,
    answers,
    responses,
    times,
)


def expected(events: list[Event], asked: GetFlowsRequest, **bounds: int | None) -> list[int]:
    """The rules, row by row."""

    def matches(event: Event) -> bool:
        return event.dropped or not asked.whitelist

    since, until = bounds["since"], bounds["until"]
    start = 0
    if since is not None:
        start = next(
            (i for i, e in enumerate(events) if e.time_ns >= START_NS + since), len(events)
        )
    elif asked.number and not asked.first:
        left = asked.number
        while left and start < len(events):
            start += 1
            event = events[-start]
            left -= not event.lost and matches(event)
        start = len(events) - start
    found, delivered = [], 0
    for event in events[start:]:
        if event.lost:
            found.append(event.time_ns - START_NS)
            continue
        if until is not None and event.time_ns > START_NS + until:
            break
        if matches(event):
            found.append(event.time_ns - START_NS)
            delivered += 1
            if delivered == asked.number:
                break
    return found


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["forwarded", "dropped", "lost"])), max_size=40
)


@given(
    steps=STEPS,
    number=st.integers(0, 12) | st.just(2**64 - 1),
    first=st.booleans(),
    since=st.none() | st.integers(-1, 60),
    until=st.none() | st.integers(-1, 60),
    dropped=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_the_rows_that_the_rules_give(
    steps: list[tuple[int, str]],
    number: int,
    first: bool,
    since: int | None,
    until: int | None,
    dropped: bool,
) -> None:
    node, events, now_ns = Node(63), [], START_NS
    for gap, kind in steps:
        now_ns += gap
        events.append(Event(now_ns, kind == "dropped", kind == "lost"))
    node.append(events)
    asked = request(number=number, first=first, since=since, until=until, dropped=dropped)
    found = asyncio.run(answers(node.query(asked)))
    assert times(found) == expected(events, asked, since=since, until=until)


@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 100])
async def test_everything_there_is_up_to_the_newest_row(rows: int) -> None:
    node = Node(15)
    if rows:
        node.append_flows(rows)
    assert times(await answers(node.query(request()))) == list(range(max(0, rows - 15), rows))


async def test_the_last_matches_may_lie_far_back() -> None:
    node = Node((1 << 17) - 1)
    node.append_flows(10_000)
    node.append_flows(3, dropped=True)
    node.append_flows(100_000)
    node.append_flows(2, dropped=True)
    node.append_flows(50_000)
    # The ring has wrapped once, so the way back crosses its end.
    assert node.table.head > node.table.capacity
    found = times(await answers(node.query(request(number=4, dropped=True))))
    assert found == [110_003, 110_004]
    found = times(await answers(node.query(request(number=1, dropped=True))))
    assert found == [110_004]


async def test_the_last_matches_across_the_end_of_the_ring() -> None:
    node = Node(63)
    for _ in range(40):
        node.append_flows(2)
        node.append_flows(1, dropped=True)
        found = times(await answers(node.query(request(number=7, dropped=True))))
        assert found == list(range(2, node.table.head, 3))[-7:]


async def test_rows_that_come_after_the_request_are_for_the_next_one() -> None:
    node = Node(4095)
    node.append_flows(2000)
    found = []
    async for framed in node.query(request()).run():
        found += times(responses(framed))
        node.append_flows(10)
    assert found == list(range(2000))


async def test_a_row_is_never_more_than_a_slice_away() -> None:
    node = Node((1 << 14) - 1)
    node.append_flows(10_000)
    sizes = [framed.count async for framed in node.query(request()).run()]
    assert sum(sizes) == 10_000
    assert max(sizes) <= 384


async def test_others_run_between_slices() -> None:
    node = Node((1 << 16) - 1)
    node.append_flows(60_000)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        assert sum([framed.count async for framed in node.query(request()).run()]) == 60_000
        # The filter matches nothing: no yield gives way, only the scan itself.
        before = turns
        asked = FlowRequest.parse(request(number=1, dropped=True), node_name="n", node_labels=())
        slow = FlowQuery(
            asked, table=node.table, encoder=node.encoder, ledger=node.ledger, clock_s=ticking()
        )
        assert [framed async for framed in slow.run()] == []
        scanned = turns - before
        task.cancel()
    assert before >= 60_000 / 2_048
    assert scanned > 60_000 / (1 << 17)


def pod(namespace: str, name: str) -> Endpoint:
    return Endpoint(
        endpoint_id=1,
        identity=1000,
        cluster_name="c",
        namespace=namespace,
        labels=(),
        pod_name=name,
        workloads=(),
    )


def ticking() -> Callable[[], float]:
    """A clock on which every step takes a hundred seconds."""
    ticks = count(0.0, 100.0)
    return lambda: next(ticks)


async def test_what_few_rows_match_comes_at_once_while_there_is_time() -> None:
    node = Node((1 << 18) - 1)
    for _ in range(20):
        node.append_flows(12_000)
        node.append_flows(2, dropped=True)
    asked = FlowRequest.parse(request(dropped=True), node_name="n", node_labels=())
    quick = FlowQuery(
        asked, table=node.table, encoder=node.encoder, ledger=node.ledger, clock_s=lambda: 0.0
    )
    assert [framed.count async for framed in quick.run()] == [40]


async def test_slow_steps_become_small_ones() -> None:
    node = Node((1 << 14) - 1)
    node.append_flows(5_000)
    asked = FlowRequest.parse(request(), node_name="n", node_labels=())
    slow = FlowQuery(
        asked, table=node.table, encoder=node.encoder, ledger=node.ledger, clock_s=ticking()
    )
    sizes = [framed.count async for framed in slow.run()]
    assert sum(sizes) == 5_000
    assert sizes[-2] == 32


async def test_many_values_are_judged_before_the_rows_while_others_run() -> None:
    node = Node((1 << 14) - 1)
    names = [("n", f"pod-{number}") for number in range(300)]
    refs = [node.table.interns.endpoints.ref(pod(*name)) for name in names]
    rows = Rows.zeros(len(refs))
    rows.columns["kind"][:] = EventKind.TRACE
    rows.columns["source_ref"][:] = refs
    rows.columns["time_ns"][:] = range(START_NS, START_NS + len(refs))
    node.table.append(rows)
    wanted = FlowFilter(source_pod=[f"n/pod-{number}" for number in range(200, 260)])
    asked = FlowRequest.parse(GetFlowsRequest(whitelist=[wanted]), node_name="n", node_labels=())
    passes = 0

    async def other() -> None:
        nonlocal passes
        while True:
            passes += 1
            await asyncio.sleep(0)

    slow = FlowQuery(
        asked, table=node.table, encoder=node.encoder, ledger=node.ledger, clock_s=ticking()
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        assert times(await answers(slow)) == list(range(200, 260))
        task.cancel()
    assert passes > len(refs)


def refused(asked: GetFlowsRequest) -> QueryError:
    with pytest.raises(QueryError) as caught:
        Node(15).query(asked)
    return caught.value


def test_first_and_follow_contradict_each_other() -> None:
    error = refused(request(first=True, follow=True))
    assert isinstance(error, InvalidQueryError)
    assert str(error) == "first cannot be specified with follow"


def test_a_bad_filter_is_told_in_the_words_of_filters() -> None:
    asked = GetFlowsRequest(blacklist=[FlowFilter(protocol=["tpc"])])
    error = refused(asked)
    assert not isinstance(error, InvalidQueryError)
    assert str(error) == 'invalid protocol filter: unknown protocol: "tpc"'


def test_a_bad_mask_path_is_named() -> None:
    asked = GetFlowsRequest()
    asked.field_mask.paths.append("nope")
    assert 'invalid path "nope"' in str(refused(asked))


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (253_402_300_800, 0, "(seconds:253402300800) after 9999-12-31"),
        (-62_167_219_200, 5, "(seconds:-62167219200 nanos:5) before 0001-01-01"),
        (-62_135_596_801, -1, "(seconds:-62135596801 nanos:-1) before 0001-01-01"),
        (0, -1, "(nanos:-1) has out-of-range nanos"),
        (1, 10**9, "(seconds:1 nanos:1000000000) has out-of-range nanos"),
    ],
)
@pytest.mark.parametrize("field", ["since", "until"])
def test_a_time_that_is_none(field: str, seconds: int, nanos: int, text: str) -> None:
    asked = GetFlowsRequest()
    getattr(asked, field).seconds, getattr(asked, field).nanos = seconds, nanos
    assert str(refused(asked)) == f"proto: timestamp {text}"


@pytest.mark.parametrize("seconds", [-62_135_596_800, -1, 0, 253_402_300_799])
async def test_times_beyond_all_rows_are_no_errors(seconds: int) -> None:
    node = Node(15)
    node.append_flows(3)
    for field, found in (("since", seconds <= 0), ("until", seconds > 0)):
        asked = GetFlowsRequest()
        getattr(asked, field).seconds = seconds
        assert len(await answers(node.query(asked))) == (3 if found else 0)
