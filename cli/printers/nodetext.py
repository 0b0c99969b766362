"""What a relay knows of its nodes, as a table: columns of `list nodes -o wide` and `status -v`."""

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.leavitt.relay_pb2 import NodeStatus, NodeStatusResponse
from api.proto.relay import relay_pb2
from cli.flags.values import duration_text
from cli.printers.color import palette
from cli.printers.grid import grid
from cli.times import SECOND_NS

STATES = {
    relay_pb2.NODE_CONNECTED: "Connected",
    relay_pb2.NODE_UNAVAILABLE: "Unavailable",
    relay_pb2.NODE_GONE: "Gone",
    relay_pb2.NODE_ERROR: "Error",
}
MISSING = "N/A"
STATUS_HEADS = ["LAG", "LAST-MESSAGE", "RECEIVED", "LOST", "RECONNECTS", "LAST-ERROR"]
"""Of the columns that `status_cells` fills."""
_MILLI_NS = 1_000_000


def status_cells(node: NodeStatus | None, now_ns: int) -> list[str]:
    """Write the cells of a node; of one that the relay says nothing of, too."""
    if node is None:
        return [MISSING] * len(STATUS_HEADS)
    lag_ns = node.lag.ToNanoseconds() // _MILLI_NS * _MILLI_NS
    error = " ".join(node.last_error.split())
    return [
        duration_text(lag_ns) if node.HasField("lag") else MISSING,
        _ago(node.last_message, now_ns) if node.HasField("last_message") else MISSING,
        f"{node.flows_received:,}",
        f"{node.lost_events:,}",
        f"{node.reconnects:,}",
        f"{error} ({_ago(node.last_error_time, now_ns)})" if error else "-",
    ]


def node_table(response: NodeStatusResponse, now_ns: int) -> str:
    """Write all nodes, sorted by name."""
    rows = [
        [
            node.name,
            STATES.get(node.state, "Unknown"),
            _age(node.connected_since, now_ns) if node.HasField("connected_since") else MISSING,
            *status_cells(node, now_ns),
        ]
        for node in sorted(response.nodes, key=lambda node: node.name)
    ]
    heads = ["NAME", "STATUS", "CONNECTED-FOR", *STATUS_HEADS]
    return palette(colored=False).neutralise(grid([heads, *rows]))


def peer_service_text(response: NodeStatusResponse, now_ns: int) -> str:
    """Write whether the relay reaches the service that names the nodes; if not, why."""
    if not response.HasField("peer_service"):
        return ""
    service = response.peer_service
    state = "connected"
    if not service.connected:
        error = " ".join(service.last_error.split())
        ago = _ago(service.last_error_time, now_ns) if error else ""
        state = f"not connected: {error} ({ago})" if error else "not connected yet"
    return palette(colored=False).neutralise(f"Peer service ({service.target}): {state}\n")


def _age(moment: Timestamp, now_ns: int) -> str:
    # Clocks of two machines: what just happened may lie ahead.
    return duration_text(max(now_ns - moment.ToNanoseconds(), 0) // SECOND_NS * SECOND_NS)


def _ago(moment: Timestamp, now_ns: int) -> str:
    return f"{_age(moment, now_ns)} ago"
