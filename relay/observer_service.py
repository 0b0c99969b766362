"""The Observer service of the relay: one node's service, for all nodes together.

Streams are `session`'s; here are the questions with one answer, put together from the nodes' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError, Message

from api.lane.status import Code, RpcError
from api.proto.observer import observer_pb2 as pb
from api.proto.relay.relay_pb2 import NodeState
from api.version import STATUS_VERSION
from relay.answers import ask_all
from relay.nodes.link import SERVER_STATUS
from relay.session import Session, Surroundings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.lane.call import Call, Method
    from relay.answers import Answer
    from relay.nodes.pool import NodePool

VERSION: Final = f"hubble-relay {STATUS_VERSION}"
_SERVICE: Final = "/observer.Observer/"
_GET_NAMESPACES: Final = f"{_SERVICE}GetNamespaces"
_MOST_NAMES: Final = 10
_FIRST_TRY_S: Final = 1.0


def stream_methods(around: Surroundings) -> dict[str, Method]:
    """Return the methods that stream: of flows, of agent events, of debug events."""
    return {
        f"{_SERVICE}GetFlows": _stream(pb.GetFlowsRequest, around, has_notices=True),
        f"{_SERVICE}GetAgentEvents": _stream(pb.GetAgentEventsRequest, around, has_notices=False),
        f"{_SERVICE}GetDebugEvents": _stream(pb.GetDebugEventsRequest, around, has_notices=False),
    }


def _stream(
    request_type: type[Message], around: Surroundings, *, has_notices: bool
) -> Callable[[Call], Awaitable[None]]:
    # A method of its own, not a generator of batches: a TaskGroup must not be left by a yield.
    async def serve(call: Call) -> None:
        data = await call.receive()
        if data is None:
            raise RpcError(Code.INTERNAL, "cardinality violation: received no request message")
        try:
            request = request_type.FromString(data)
        except DecodeError as error:
            raise RpcError(Code.INTERNAL, f"grpc: error unmarshalling request: {error}") from error
        await Session(call, request, around=around, has_notices=has_notices).run()

    return serve


class ObserverService:
    """Implements what is not a stream; give it to `api.lane.service.service_methods`."""

    def __init__(self, pool: NodePool) -> None:
        self._pool = pool

    async def server_status(
        self, _call: Call, _request: pb.ServerStatusRequest
    ) -> pb.ServerStatusResponse:
        """Add up what the nodes say; those that say nothing are unavailable."""
        answers = await self._statuses()
        found = [answer.message for answer in answers if answer.message is not None]
        missing = [answer.link.name for answer in answers if answer.message is None]
        response = pb.ServerStatusResponse(
            version=VERSION,
            num_flows=sum(each.num_flows for each in found),
            max_flows=sum(each.max_flows for each in found),
            seen_flows=sum(each.seen_flows for each in found),
            uptime_ns=max((each.uptime_ns for each in found), default=0),
            flows_rate=sum(each.flows_rate for each in found),
            unavailable_nodes=missing[:_MOST_NAMES],
        )
        # set also where they are zero
        response.num_connected_nodes.value = len(found)
        response.num_unavailable_nodes.value = len(missing)
        return response

    async def get_nodes(self, _call: Call, _request: pb.GetNodesRequest) -> pb.GetNodesResponse:
        """List the nodes, each with what it says of itself."""
        return pb.GetNodesResponse(nodes=[_node(answer) for answer in await self._statuses()])

    async def get_namespaces(
        self, _call: Call, _request: pb.GetNamespacesRequest
    ) -> pb.GetNamespacesResponse:
        """List the namespaces that any node has seen."""
        await self._pool.tried(longest_s=_FIRST_TRY_S)
        answers = await ask_all(
            self._pool, _GET_NAMESPACES, pb.GetNamespacesRequest(), pb.GetNamespacesResponse
        )
        seen = {
            (each.cluster, each.namespace)
            for answer in answers
            if answer.message is not None
            for each in answer.message.namespaces
        }
        return pb.GetNamespacesResponse(
            namespaces=[
                pb.Namespace(cluster=cluster, namespace=namespace)
                for cluster, namespace in sorted(seen)
            ]
        )

    async def _statuses(self) -> list[Answer[pb.ServerStatusResponse]]:
        await self._pool.tried(longest_s=_FIRST_TRY_S)
        return await ask_all(
            self._pool, SERVER_STATUS, pb.ServerStatusRequest(), pb.ServerStatusResponse
        )


def _node(answer: Answer[pb.ServerStatusResponse]) -> pb.Node:
    link, status = answer.link, answer.message
    server_name = link.peer.server_name
    node: Any = pb.Node(
        name=link.name,
        address=link.peer.address,
        tls=pb.TLS(enabled=server_name is not None, server_name=server_name or ""),
    )
    if status is None:
        is_connected = link.connection is not None
        node.state = NodeState.NODE_ERROR if is_connected else NodeState.NODE_UNAVAILABLE
        return node  # type: ignore[no-any-return]  # generated enums are not of their own types
    node.state = NodeState.NODE_CONNECTED
    node.version = status.version
    node.uptime_ns = status.uptime_ns
    node.num_flows, node.max_flows = status.num_flows, status.max_flows
    node.seen_flows = status.seen_flows
    return node  # type: ignore[no-any-return]  # as above
