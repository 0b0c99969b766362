"""Lists of nodes and namespaces as tables or JSON."""

import json
from collections.abc import Sequence

from google.protobuf.message import Message

from api.proto.observer.observer_pb2 import GetNamespacesResponse, GetNodesResponse, Node
from api.proto.relay import relay_pb2
from cli.errors import CliError
from cli.flags.values import duration_text
from cli.printers.color import palette
from cli.printers.grid import grid
from cli.wirejson.writer import Writers

_SECOND_NS = 1_000_000_000
_STATES = {
    relay_pb2.NODE_CONNECTED: "Connected",
    relay_pb2.NODE_UNAVAILABLE: "Unavailable",
    relay_pb2.NODE_GONE: "Gone",
    relay_pb2.NODE_ERROR: "Error",
}
_MISSING = "N/A"


def nodes_text(output: str, response: GetNodesResponse) -> str:
    """Write nodes as table, wide or json, sorted by name; raises CliError for other formats."""
    if output == "json":
        return _indented(response)
    heads = ["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS", "VERSION", "ADDRESS", "TLS"]
    nodes = sorted(response.nodes, key=lambda node: node.name)
    return _table(output, [heads, *map(_node, nodes)], narrow=5)


def namespaces_text(output: str, response: GetNamespacesResponse) -> str:
    """Write namespaces in the server's order; raises CliError for unknown formats."""
    if output == "json":
        return _indented(response)
    rows = [[each.namespace, each.cluster] for each in response.namespaces]
    return _table(output, [["NAMESPACE", "CLUSTER"], *rows], narrow=1)


def _node(node: Node) -> list[str]:
    age = round(node.uptime_ns / _SECOND_NS) * _SECOND_NS
    seconds = node.uptime_ns / _SECOND_NS
    limit = node.max_flows
    return [
        node.name,
        _STATES.get(node.state, "Unknown"),
        duration_text(age) if node.uptime_ns else _MISSING,
        f"{node.seen_flows / seconds:.2f}" if seconds else _MISSING,
        f"{node.num_flows}/{limit} ({node.num_flows / limit:7.2%})" if limit else _MISSING,
        node.version or _MISSING,
        node.address or _MISSING,
        ("Enabled" if node.tls.enabled else "Disabled") if node.HasField("tls") else _MISSING,
    ]


def _table(output: str, rows: Sequence[Sequence[str]], *, narrow: int) -> str:
    if output not in ("table", "wide"):
        raise CliError(f"unknown output format: {output}")
    shown = rows if output == "wide" else [row[:narrow] for row in rows]
    return palette(colored=False).neutralise(grid(shown))


def _indented(response: Message) -> str:
    text = Writers().of(response.DESCRIPTOR)(response.SerializeToString())
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
