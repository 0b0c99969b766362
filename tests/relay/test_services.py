"""Questions with one answer, put together from what the nodes say; and what grpcio sees."""

import asyncio
from pathlib import Path

import grpc
import pytest

from api.lane.status import Code, RpcError
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.leavitt.relay_pb2 import NodeStatusRequest, NodeStatusResponse, PeerServiceStatus
from api.proto.observer import observer_pb2 as pb
from api.proto.observer import observer_pb2_grpc
from api.proto.relay.relay_pb2 import NodeState
from api.version import WIRE_VERSION
from tests.relay.bed import LONGEST_S, bed
from tests.relay.processes import Book
from tests.relay.wire import T0, padded, progress

OBSERVER = "/observer.Observer/"


async def test_status_adds_up(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c") as made:
        made.nodes[1].status = pb.ServerStatusResponse(num_flows=10, uptime_ns=99, flows_rate=1)
        await made.nodes[2].stop()
        await made.connected("a", "b")
        reply = await made.channel.unary_reply(
            f"{OBSERVER}ServerStatus", pb.ServerStatusRequest(), pb.ServerStatusResponse
        )
        status = reply.message
        assert (status.num_flows, status.max_flows, status.seen_flows) == (11, 7, 3)
        assert (status.uptime_ns, status.flows_rate) == (99, 1.5)
        assert (status.num_connected_nodes.value, status.num_unavailable_nodes.value) == (2, 1)
        assert list(status.unavailable_nodes) == ["c"]
        assert status.version.startswith("hubble-relay ")


async def test_nodes_with_their_states(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made:
        await made.nodes[1].stop()
        await made.connected("a")
        found = await made.channel.unary(
            f"{OBSERVER}GetNodes", pb.GetNodesRequest(), pb.GetNodesResponse
        )
        states = [(each.name, each.state) for each in found.nodes]
        assert states == [("a", NodeState.NODE_CONNECTED), ("b", NodeState.NODE_UNAVAILABLE)]
        assert (found.nodes[0].version, found.nodes[0].max_flows) == ("test", 7)
        assert not found.nodes[0].tls.enabled


async def test_namespaces_are_united(tmp_path: Path) -> None:
    def seen(*names: str) -> pb.GetNamespacesResponse:
        spaces = [pb.Namespace(cluster="default", namespace=name) for name in names]
        return pb.GetNamespacesResponse(namespaces=spaces)

    async with bed(tmp_path, "a", "b") as made:
        made.nodes[0].namespaces = seen("z", "k")
        made.nodes[1].namespaces = seen("k", "b")
        found = await made.channel.unary(
            f"{OBSERVER}GetNamespaces", pb.GetNamespacesRequest(), pb.GetNamespacesResponse
        )
        assert [each.namespace for each in found.namespaces] == ["b", "k", "z"]


async def test_what_is_known_of_a_node(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made:

        async def told() -> NodeStatusResponse:
            return await made.channel.unary(
                "/leavitt.Relay/NodeStatus", NodeStatusRequest(), NodeStatusResponse
            )

        first, second = (await told()).nodes
        assert (first.name, first.state, first.version) == ("a", NodeState.NODE_CONNECTED, "test")
        assert first.address == made.nodes[0].address
        assert first.HasField("connected_since")
        assert not first.HasField("lag")
        async with made.stream(pb.GetFlowsRequest(follow=True)) as reader:
            a, b = [await node.next_asked() for node in made.nodes]
            a.say(padded("1", T0))
            b.say(progress(T0 + 10**9))
            assert await reader.uuids(1) == ["1"]
            first, second = (await told()).nodes
            assert (first.flows_received, second.flows_received) == (1, 0)
            assert first.lag.ToNanoseconds() > second.lag.ToNanoseconds() > 0
        await made.nodes[1].stop()
        await made.connected("a")
        second = (await told()).nodes[1]
        assert (second.state, second.HasField("connected_since")) == (
            NodeState.NODE_UNAVAILABLE,
            False,
        )
        assert second.last_error.startswith("rpc error: code = Unavailable")
        assert second.HasField("last_error_time")


async def test_why_the_peer_service_is_not_there(tmp_path: Path) -> None:
    async with bed(tmp_path) as made, asyncio.TaskGroup() as tasks:

        async def told() -> PeerServiceStatus:
            path = "/leavitt.Relay/NodeStatus"
            found = await made.channel.unary(path, NodeStatusRequest(), NodeStatusResponse)
            return found.peer_service

        target = f"unix://{tmp_path}/peers.sock"
        assert await told() == PeerServiceStatus(target=target)
        running = tasks.create_task(made.discovery.run())
        book = Book()
        server = await book.serve(target)
        await made.until(lambda: made.discovery.is_connected)
        assert (await told()).connected
        await server.stop(0)
        await made.until(lambda: not made.discovery.is_connected)
        running.cancel()
        lost = await told()
        assert (lost.connected, lost.HasField("last_error_time")) == (False, True)
        assert lost.last_error.startswith("rpc error: code = Unavailable")


async def test_a_node_without_events_has_no_lag(tmp_path: Path) -> None:
    request = pb.GetFlowsRequest(follow=True)
    async with bed(tmp_path, "a") as made, made.stream(request) as reader:
        account = made.pool.links[0].account
        asked = await made.nodes[0].next_asked()
        # the flow only tells that it has been read
        asked.say(progress(0), padded("1", 0))
        assert await reader.uuids(1) == ["1"]
        assert account.lag_ns(T0) is None
        asked.say(padded("2", T0 - 5))
        assert await reader.uuids(1) == ["2"]
        assert account.lag_ns(T0) == 5


async def test_a_python_script_with_grpcio(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made:

        def script() -> tuple[list[str], dict[str, str | bytes], str | None]:
            with grpc.insecure_channel(f"unix:{tmp_path}/relay.sock") as channel:
                stub = observer_pb2_grpc.ObserverStub(channel)
                call = stub.GetFlows(pb.GetFlowsRequest(number=2), timeout=LONGEST_S)
                flows = [each.flow.uuid for each in call if each.HasField("flow")]
                with pytest.raises(grpc.RpcError) as refused:
                    list(stub.GetAgentEvents(pb.GetAgentEventsRequest(), timeout=LONGEST_S))
                return flows, dict(call.initial_metadata()), refused.value.details()

        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(asyncio.to_thread(script))
            a, b = [await node.next_asked() for node in made.nodes]
            for node in made.nodes:
                node.refusal = RpcError(Code.UNIMPLEMENTED, "none here")
            b.say(padded("1", T0 + 1))
            a.say(padded("2", T0 + 2))
            a.end()
            b.end()
        flows, headers, refusal = running.result()
        assert flows == ["1", "2"]
        assert headers["hubble-relay-version"] == WIRE_VERSION
        assert refusal == "none here"


async def test_health_and_reflection_are_there(tmp_path: Path) -> None:
    async with bed(tmp_path) as made:
        health = await made.channel.unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest(), HealthCheckResponse
        )
        assert health.status == HealthCheckResponse.SERVING
