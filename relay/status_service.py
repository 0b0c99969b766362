"""leavitt.Relay: what the relay has seen of each node, lag, losses and the last error among it.

It tells of the peer service as well: without it there may be no nodes to tell of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.leavitt import relay_pb2 as pb
from api.proto.relay.relay_pb2 import NodeState

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.lane.call import Call
    from relay.nodes.discovery import Discovery
    from relay.nodes.link import NodeLink
    from relay.nodes.pool import NodePool

_NS_PER_S = 1_000_000_000


class StatusService:
    """Implements leavitt.Relay; give it to `api.lane.service.service_methods`."""

    def __init__(self, pool: NodePool, discovery: Discovery, wall_ns: Callable[[], int]) -> None:
        self._pool = pool
        self._discovery = discovery
        self._wall_ns = wall_ns

    async def node_status(
        self, _call: Call, _request: pb.NodeStatusRequest
    ) -> pb.NodeStatusResponse:
        """Tell the account of each node; asks nobody."""
        now_ns, discovery = self._wall_ns(), self._discovery
        return pb.NodeStatusResponse(
            nodes=[_told(link, now_ns) for link in self._pool.links],
            peer_service=pb.PeerServiceStatus(
                target=discovery.target,
                connected=discovery.is_connected,
                last_error=discovery.last_error,
                last_error_time=_timestamp(discovery.last_error_ns),
            ),
        )


def _told(link: NodeLink, now_ns: int) -> pb.NodeStatus:
    account = link.account
    is_connected = link.connection is not None
    lag_ns = account.lag_ns(now_ns)
    return pb.NodeStatus(
        name=link.name,
        address=link.address,
        state=NodeState.NODE_CONNECTED if is_connected else NodeState.NODE_UNAVAILABLE,
        version=account.version,
        connected_since=_timestamp(account.connected_since_ns),
        last_message=_timestamp(account.last_message_ns),
        lag=None if lag_ns is None else Duration(**_parts(lag_ns)),
        flows_received=account.flows_received,
        lost_events=account.lost_events,
        last_error=account.last_error,
        last_error_time=_timestamp(account.last_error_ns),
        reconnects=account.reconnects,
    )


def _timestamp(time_ns: int | None) -> Timestamp | None:
    return None if time_ns is None else Timestamp(**_parts(time_ns))


def _parts(time_ns: int) -> dict[str, int]:
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    return {"seconds": seconds, "nanos": nanos}
