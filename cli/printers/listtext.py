"""Lists of nodes and namespaces as tables or JSON."""

import json
from collections.abc import Sequence

from google.protobuf.message import Message

from api.proto.leavitt.relay_pb2 import NodeStatusResponse
from api.proto.observer.observer_pb2 import GetNamespacesResponse, GetNodesResponse, Node
from cli.errors import CliError
from cli.flags.values import duration_text
from cli.printers.color import palette
from cli.printers.grid import grid
from cli.printers.nodetext import MISSING, STATES, STATUS_HEADS, status_cells
from cli.wirejson.writer import Writers

_SECOND_NS = 1_000_000_000


def nodes_text(
    output: str, response: GetNodesResponse, known: NodeStatusResponse | None, now_ns: int
) -> str:
    """Write nodes as table, wide or json, sorted by name; raises CliError for other formats.

    What our relay knows of them makes a wide table wider.
    """
    if output == "json":
        return _indented(response, "nodes")
    heads = ["NAME", "STATUS", "AGE", "FLOWS/S", "CURRENT/MAX-FLOWS", "VERSION", "ADDRESS", "TLS"]
    nodes = sorted(response.nodes, key=lambda node: node.name)
    rows = [heads, *map(_node, nodes)]
    if known is not None:
        by_name = {each.name: each for each in known.nodes}
        rows[0] += STATUS_HEADS
        for row, node in zip(rows[1:], nodes, strict=True):
            row += status_cells(by_name.get(node.name), now_ns)
    return _table(output, rows, narrow=5)


def namespaces_text(output: str, response: GetNamespacesResponse) -> str:
    """Write namespaces in the server's order; raises CliError for unknown formats."""
    if output == "json":
        return _indented(response, "namespaces")
    rows = [[each.namespace, each.cluster] for each in response.namespaces]
    return _table(output, [["NAMESPACE", "CLUSTER"], *rows], narrow=1)


def _node(node: Node) -> list[str]:
    age = round(node.uptime_ns / _SECOND_NS) * _SECOND_NS
    seconds = node.uptime_ns / _SECOND_NS
    limit = node.max_flows
    return [
        node.name,
        STATES.get(node.state, "Unknown"),
        duration_text(age) if node.uptime_ns else MISSING,
        f"{node.seen_flows / seconds:.2f}" if seconds else MISSING,
        f"{node.num_flows}/{limit} ({node.num_flows / limit:7.2%})" if limit else MISSING,
        node.version or MISSING,
        node.address or MISSING,
        ("Enabled" if node.tls.enabled else "Disabled") if node.HasField("tls") else MISSING,
    ]


def _table(output: str, rows: Sequence[Sequence[str]], *, narrow: int) -> str:
    if output not in ("table", "wide"):
        raise CliError(f"unknown output format: {output}")
    shown = rows if output == "wide" else [row[:narrow] for row in rows]
    return palette(colored=False).neutralise(grid(shown))


def _indented(response: Message, field: str) -> str:
    """Write the list in a field of that name as JSON."""
    text = Writers().of(response.DESCRIPTOR)(response.SerializeToString())
    return json.dumps(json.loads(text).get(field, []), indent=2, ensure_ascii=False) + "\n"
