"""What was shown last: where to go on, and what not to show twice."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
)
from cli.memory import Memory

STARTED_NS = 1_772_600_767_000_000_000


def flow(time_ns: int, text: str = "") -> bytes:
    response = GetFlowsResponse()
    response.flow.Summary = text
    response.time.FromNanoseconds(time_ns)
    return response.SerializeToString()


def memory(request: GetFlowsRequest | None = None) -> Memory:
    made = Memory(request or GetFlowsRequest(follow=True), STARTED_NS)
    made.resumed()
    return made


def test_the_first_question_is_as_it_was_asked() -> None:
    request = GetFlowsRequest(follow=True, number=5)
    assert Memory(request, STARTED_NS).resumed() == request


def test_goes_on_from_the_last_time_shown() -> None:
    asked = GetFlowsRequest(follow=True, number=5)
    asked.whitelist.add(verdict=[2])
    expected = GetFlowsRequest()
    expected.CopyFrom(asked)
    expected.number = 0
    expected.since.FromNanoseconds(1_000_000_009)
    seen = memory(asked)
    seen.unseen([flow(7), flow(1_000_000_009), flow(8)])
    assert seen.resumed() == expected


def test_without_a_flow_goes_on_from_the_start() -> None:
    assert memory().resumed().since.ToNanoseconds() == STARTED_NS


@pytest.mark.parametrize("asked", [{"number": 20}, {"since": {"seconds": 5}}])
def test_without_a_flow_asks_for_the_past_again(asked: dict[str, object]) -> None:
    request = GetFlowsRequest(follow=True, **asked)  # type: ignore[arg-type]  # from parametrize
    assert memory(request).resumed() == request


def test_flows_of_the_last_moment_come_once() -> None:
    seen = memory()
    shown = [flow(8, "a"), flow(9, "a"), flow(9, "b"), flow(9, "b")]
    assert seen.unseen(shown) == shown
    seen.resumed()
    again = [flow(9, "a"), flow(9, "b"), flow(9, "b"), flow(9, "b"), flow(9, "c"), flow(10, "a")]
    assert seen.unseen(again) == [again[3], again[4], again[5]]
    seen.resumed()
    assert seen.unseen([flow(10, "a"), flow(10, "a")]) == [flow(10, "a")]


def test_what_tells_of_the_stream_itself_passes_and_moves_nothing() -> None:
    seen = memory()
    status = GetFlowsResponse()
    status.node_status.message = "x"
    status.time.FromNanoseconds(99)
    lost = GetFlowsResponse()
    lost.lost_events.num_events_lost = 1
    lost.time.FromNanoseconds(99)
    told = [status.SerializeToString(), lost.SerializeToString(), flow(0)]
    assert seen.unseen(told * 2) == told * 2
    assert seen.time_ns is None


def test_events_of_other_kinds_are_known_too() -> None:
    agent, debug = GetAgentEventsResponse(), GetDebugEventsResponse()
    agent.time.FromNanoseconds(5)
    debug.time.FromNanoseconds(5)
    for request, event in ((GetAgentEventsRequest(), agent), (GetDebugEventsRequest(), debug)):
        seen, message = Memory(request, STARTED_NS), event.SerializeToString()
        seen.resumed()
        assert seen.unseen([message]) == [message]
        assert seen.resumed().since.ToNanoseconds() == 5
        assert seen.unseen([message]) == []
        assert not seen.is_about_flows


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(DecodeError):
        memory().unseen([b"\xff"])


@given(
    times=st.lists(st.integers(1, 6), max_size=40).map(sorted),
    breaks=st.lists(st.integers(0, 40), max_size=5).map(sorted),
)
def test_an_answer_with_breaks_is_the_whole_answer(times: list[int], breaks: list[int]) -> None:
    # Few times and texts: many flows are the same to the letter.
    flows = [flow(time_ns, str(number % 2)) for number, time_ns in enumerate(times)]
    seen = memory(GetFlowsRequest(follow=True, since=Timestamp(nanos=1)))
    shown: list[bytes] = []
    since_ns = 1
    for end in [*breaks, len(flows)]:
        first = sum(time_ns < since_ns for time_ns in times)
        shown += seen.unseen(flows[first:end])
        since_ns = seen.resumed().since.ToNanoseconds()
    assert shown == flows
