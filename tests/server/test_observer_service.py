"""The Observer service over a real connection, on a node that has seen the recorded mix."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from api.lane.client import Channel
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.proto.flow.flow_pb2 import (
    AgentEvent,
    AgentEventType,
    EventTypeFilter,
    FlowFilter,
    Verdict,
)
from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer import observer_pb2 as pb
from api.version import STATUS_VERSION
from bench.workload import SyntheticNode
from observer.entities import LostEvents
from observer.query import FlowQuery
from server.node import Node, build_node
from server.settings import Settings

GET_FLOWS = "/observer.Observer/GetFlows"
GET_AGENT_EVENTS = "/observer.Observer/GetAgentEvents"
LAST_REVISION = 9
ROWS = 500


@pytest.fixture
def node() -> Node:
    made = build_node(Settings(node_name="n1", cluster_name="c1", event_buffer_capacity=1023))
    traffic = SyntheticNode(7)
    for number, endpoint in enumerate(traffic.endpoints):
        for ipv6 in (False, True):
            made.book.set_endpoint(traffic.address(number, ipv6=ipv6), endpoint)
    made.pipeline.feed(traffic.batch(ROWS))
    return made


@pytest.fixture
async def channel(node: Node, tmp_path: Path) -> AsyncIterator[Channel]:
    observer = pb.DESCRIPTOR.services_by_name["Observer"]
    server = Server(
        service_methods(observer, node.service),
        initial_metadata=(("hubble-server-version", "1.2.3"),),
    )
    channel = Channel(await server.listen(f"unix://{tmp_path}/hubble.sock"))
    yield channel
    await channel.close()
    await server.stop(0)


async def get_flows(
    channel: Channel, request: pb.GetFlowsRequest, **metadata: str
) -> list[pb.GetFlowsResponse]:
    found: list[pb.GetFlowsResponse] = []
    pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    async with channel.server_stream(GET_FLOWS, request, metadata=pairs) as stream:
        async for batch in stream.batches():
            found.extend(pb.GetFlowsResponse.FromString(message) for message in batch)
        assert ("hubble-server-version", "1.2.3") in stream.initial_metadata
    return found


async def test_whole_table_in_order(channel: Channel, node: Node) -> None:
    responses = await get_flows(channel, pb.GetFlowsRequest())
    flows = [response.flow for response in responses if response.HasField("flow")]
    assert len(flows) == node.table.statistics().rows
    times = [flow.time.ToNanoseconds() for flow in flows]
    assert times == sorted(times)
    assert {flow.node_name for flow in flows} == {"c1/n1"}
    assert len({flow.uuid for flow in flows}) == len(flows)
    assert all(flow.emitter.name and flow.emitter.version for flow in flows)


async def test_filters_and_number(channel: Channel) -> None:
    request = pb.GetFlowsRequest(number=3, whitelist=[FlowFilter(verdict=[Verdict.DROPPED])])
    responses = await get_flows(channel, request)
    assert [response.flow.verdict for response in responses] == [Verdict.DROPPED] * 3


async def test_details_only_for_who_asks(channel: Channel) -> None:
    request = pb.GetFlowsRequest(number=50)
    plain = await get_flows(channel, request)
    detailed = await get_flows(channel, request, leavitt_details="1")
    assert not any(response.flow.HasField("extensions") for response in plain)
    details = FlowDetails()
    packets = 0
    for response in detailed:
        assert response.flow.extensions.Unpack(details)
        packets += details.packets
    assert packets > 0


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (
            pb.GetFlowsRequest(first=True, follow=True),
            Code.INVALID_ARGUMENT,
            "first cannot be specified with follow",
        ),
        (
            pb.GetFlowsRequest(whitelist=[FlowFilter(source_ip=["x"])]),
            Code.UNKNOWN,
            'invalid IP address "x" in filter',
        ),
        (
            pb.GetFlowsRequest(field_mask={"paths": ["nonsense"]}),
            None,
            "nonsense",
        ),
        (
            pb.GetFlowsRequest(since=Timestamp(seconds=1 << 60)),
            None,
            "",
        ),
    ],
    ids=["first-follow", "filter", "mask", "since"],
)
async def test_bad_requests(
    channel: Channel, request_: pb.GetFlowsRequest, code: Code | None, text: str
) -> None:
    with pytest.raises(RpcError) as raised:
        await get_flows(channel, request_)
    assert text in raised.value.message
    assert raised.value.code is code or code is None
    assert raised.value.message != "internal error"


async def test_status(channel: Channel, node: Node) -> None:
    status = await channel.unary(
        "/observer.Observer/ServerStatus", pb.ServerStatusRequest(), pb.ServerStatusResponse
    )
    rows = node.table.statistics().rows
    assert (status.num_flows, status.max_flows, status.seen_flows) == (rows, 1023, rows)
    assert status.version == STATUS_VERSION
    assert status.uptime_ns > 0
    assert not status.HasField("num_connected_nodes")


async def test_seen_flows_go_on_when_the_table_is_full(channel: Channel, node: Node) -> None:
    for batch in (SyntheticNode(8).batch(ROWS), SyntheticNode(9).batch(ROWS)):
        node.pipeline.feed(batch)
    status = await channel.unary(
        "/observer.Observer/ServerStatus", pb.ServerStatusRequest(), pb.ServerStatusResponse
    )
    assert status.num_flows == 1023
    assert status.seen_flows > 1023


async def test_namespaces_and_nodes(channel: Channel) -> None:
    answer = await channel.unary(
        "/observer.Observer/GetNamespaces", pb.GetNamespacesRequest(), pb.GetNamespacesResponse
    )
    names = [namespace.namespace for namespace in answer.namespaces]
    assert names == sorted(set(names))
    assert {namespace.cluster for namespace in answer.namespaces} == {"c1"}
    with pytest.raises(RpcError, match="GetNodes not implemented") as raised:
        await channel.unary(
            "/observer.Observer/GetNodes", pb.GetNodesRequest(), pb.GetNodesResponse
        )
    assert raised.value.code is Code.UNIMPLEMENTED


async def test_expressions_see_the_flows_that_clients_get(channel: Channel) -> None:
    everything = await get_flows(channel, pb.GetFlowsRequest())
    expression = "_flow.verdict == Verdict.DROPPED && _flow.source.namespace != ''"
    wanted = FlowFilter(experimental={"cel_expression": [expression]})
    found = await get_flows(channel, pb.GetFlowsRequest(whitelist=[wanted]))
    dropped = [
        response.flow.uuid
        for response in everything
        if response.flow.verdict == Verdict.DROPPED and response.flow.source.namespace
    ]
    assert [response.flow.uuid for response in found] == dropped
    assert 0 < len(dropped) < len(everything)
    last = await get_flows(channel, pb.GetFlowsRequest(whitelist=[wanted], number=3))
    assert [response.flow.uuid for response in last] == dropped[-3:]
    rest = await get_flows(channel, pb.GetFlowsRequest(blacklist=[wanted]))
    assert len(rest) == len(everything) - len(dropped)


async def test_an_expression_too_slow_ends_the_stream(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observer.filters.programs.MAX_EVALUATION_NS", -1)
    slow = FlowFilter(experimental={"cel_expression": ["true"]})
    for number in (0, 3):
        with pytest.raises(RpcError, match="ms for one flow") as raised:
            await get_flows(channel, pb.GetFlowsRequest(whitelist=[slow], number=number))
        assert raised.value.code is Code.UNKNOWN


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        (GET_FLOWS, pb.GetFlowsRequest(follow=True, whitelist=[FlowFilter(source_port=["1"])])),
        (GET_AGENT_EVENTS, pb.GetAgentEventsRequest(follow=True)),
        ("/observer.Observer/GetDebugEvents", pb.GetDebugEventsRequest(follow=True)),
    ],
    ids=["flows", "agent events", "debug events"],
)
async def test_progress_for_who_asks(
    channel: Channel, node: Node, method: str, request_: pb.GetFlowsRequest
) -> None:
    metadata = (("leavitt-progress", "1"),)
    async with channel.server_stream(method, request_, metadata=metadata) as stream:
        batches = stream.batches()
        for _ in range(3):
            [message] = await anext(batches)
            said = pb.GetFlowsResponse.FromString(message)
            assert said == pb.GetFlowsResponse(node_name="c1/n1", time=said.time)
            assert said.time.ToNanoseconds() == node.table.watermark.time_ns


@pytest.mark.parametrize(
    ("asked", "interval_s"),
    [
        (None, 0.01),
        ("40", 0.04),
        ("1", 0.01),
        ("99999999999", 1.0),
        ("soon", 0.01),
        ("-5", 0.01),
        ("", 0.01),
    ],
)
async def test_how_often_progress_is_told(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, asked: str | None, interval_s: float
) -> None:
    made: list[float] = []
    before = FlowQuery.from_request

    def noted(request: pb.GetFlowsRequest, **arguments: Any) -> FlowQuery:  # noqa: ANN401
        made.append(arguments["progress_interval_s"])
        return before(request, **arguments)

    monkeypatch.setattr(FlowQuery, "from_request", noted)
    extra = () if asked is None else (("leavitt-progress-interval", asked),)
    metadata = (("leavitt-progress", "1"), *extra)
    request = pb.GetFlowsRequest(number=1)
    async with channel.server_stream(GET_FLOWS, request, metadata=metadata) as stream:
        assert [len(batch) async for batch in stream.batches()] == [1]
    assert made == [interval_s]


def policy_event(revision: int) -> AgentEvent:
    event = AgentEvent(type=AgentEventType.POLICY_UPDATED)
    event.policy_update.revision = revision
    return event


async def agent_revisions(channel: Channel, request: pb.GetAgentEventsRequest) -> list[int]:
    found: list[int] = []
    async with channel.server_stream(GET_AGENT_EVENTS, request) as stream:
        async for batch in stream.batches():
            for message in batch:
                response = pb.GetAgentEventsResponse.FromString(message)
                assert response.node_name == "c1/n1"
                assert response.time.seconds > 0
                assert response.agent_event.type == AgentEventType.POLICY_UPDATED
                found.append(response.agent_event.policy_update.revision)
                if request.follow and found[-1] == LAST_REVISION:
                    return found
    return found


async def test_agent_events_among_flows(channel: Channel, node: Node) -> None:
    flows = len(await get_flows(channel, pb.GetFlowsRequest()))
    for revision in range(1, 6):
        node.agent_log.add([policy_event(revision)])
        node.agent_log.write()
        node.pipeline.feed(SyntheticNode(revision).batch(20))
        lost = LostEvents(source=1, count=1, cpu=0, first_ns=None, last_ns=1)
        node.table.append_lost(lost, 1)
    ask = pb.GetAgentEventsRequest
    assert await agent_revisions(channel, ask()) == [1, 2, 3, 4, 5]
    assert await agent_revisions(channel, ask(number=2)) == [4, 5]
    assert await agent_revisions(channel, ask(number=2, first=True)) == [1, 2]
    now = Timestamp()
    now.GetCurrentTime()
    assert await agent_revisions(channel, ask(until=Timestamp(seconds=1))) == []
    assert await agent_revisions(channel, ask(since=Timestamp(seconds=now.seconds + 60))) == []
    everything = await get_flows(channel, pb.GetFlowsRequest())
    assert len([each for each in everything if each.HasField("flow")]) == flows + 5 * 20
    assert not any(each.flow.event_type.type == 130 for each in everything)
    typed = FlowFilter(event_type=[EventTypeFilter(type=130)])
    assert not any(
        each.HasField("flow")
        for each in await get_flows(channel, pb.GetFlowsRequest(whitelist=[typed]))
    )
    status = await channel.unary(
        "/observer.Observer/ServerStatus", pb.ServerStatusRequest(), pb.ServerStatusResponse
    )
    assert status.num_flows == flows + 5 * 22
    assert status.seen_flows == flows + 5 * 20


async def test_agent_events_are_followed(channel: Channel, node: Node) -> None:
    async def followed() -> list[int]:
        return await agent_revisions(channel, pb.GetAgentEventsRequest(follow=True, number=1))

    for revision in (1, 2):
        node.agent_log.add([policy_event(revision)])
    node.agent_log.write()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(followed())
        for revision in (3, LAST_REVISION):
            node.pipeline.feed(SyntheticNode(revision).batch(20))
            node.agent_log.add([policy_event(revision)])
            node.agent_log.write()
    assert following.result()[-1] == LAST_REVISION


async def test_bad_requests_for_agent_events(channel: Channel) -> None:
    with pytest.raises(RpcError, match="first cannot be specified with follow") as raised:
        await agent_revisions(channel, pb.GetAgentEventsRequest(first=True, follow=True))
    assert raised.value.code is Code.INVALID_ARGUMENT
    with pytest.raises(RpcError, match="after 9999-12-31") as raised:
        await agent_revisions(channel, pb.GetAgentEventsRequest(since=Timestamp(seconds=1 << 60)))
    assert raised.value.code is Code.UNKNOWN
