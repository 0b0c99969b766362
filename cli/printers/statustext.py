"""The state of a server as text: compact lines, KEY: VALUE pairs, a table, JSON."""

from collections.abc import Callable

from google.protobuf.message import Message

from api.proto.leavitt.node_pb2 import NodeReport
from api.proto.observer.observer_pb2 import ServerStatusResponse
from cli.errors import CliError
from cli.flags.values import duration_text
from cli.printers.grid import grid
from cli.wirejson.writer import Writers

HEALTHY = "Ok"
_NAMES_SHOWN = 10
_MISSING = "N/A"


def status_text(output: str, status: ServerStatusResponse) -> str:
    """Write a status in the format of that name; raises CliError for an unknown one."""
    write = _FORMATS.get(output)
    if write is None:
        raise CliError(f"invalid output format: {output}")
    return write(status)


def ratio(count: int, limit: int) -> str:
    """Write how much of a limit is used: `4,095/4,095 (100.00%)`."""
    share = f" ({count / limit:.2%})" if limit else ""
    return f"{count:,}/{limit:,}{share}"


def _compact(status: ServerStatusResponse) -> str:
    lines = [
        f"Current/Max Flows: {ratio(status.num_flows, status.max_flows)}",
        f"Flows/s: {_rate(status)}",
    ]
    if status.HasField("num_connected_nodes"):
        connected = status.num_connected_nodes.value
        missing = status.num_unavailable_nodes.value
        total = f"/{connected + missing:,}" if status.HasField("num_unavailable_nodes") else ""
        lines.append(f"Connected Nodes: {connected:,}{total}")
        lines += _unavailable(status)
    return "\n".join(lines) + "\n"


def _rate(status: ServerStatusResponse) -> str:
    if status.flows_rate > 0:
        return f"{status.flows_rate:.2f}"
    if status.uptime_ns > 0:
        return f"{status.seen_flows / (status.uptime_ns / 1e9):.2f}"
    return _MISSING


def _unavailable(status: ServerStatusResponse) -> list[str]:
    count = status.num_unavailable_nodes.value
    if not count:
        return []
    shown = sorted(status.unavailable_nodes)[:_NAMES_SHOWN]
    lines = [f"Unavailable Nodes: {count:,}", *(f"  - {name}" for name in shown)]
    if shown and count > len(shown):
        lines.append(f"  - and {count - len(shown):,} more...")
    return lines


def _pairs(status: ServerStatusResponse) -> dict[str, str]:
    """Keys of dict output, with the values of both dict and table."""
    connected, missing = status.num_connected_nodes, status.num_unavailable_nodes
    has_connected = status.HasField("num_connected_nodes")
    has_missing = status.HasField("num_unavailable_nodes")
    return {
        "NUM FLOWS": f"{status.num_flows:,}",
        "MAX FLOWS": f"{status.max_flows:,}",
        "SEEN FLOWS": f"{status.seen_flows:,}",
        "FLOWS PER SECOND": f"{status.flows_rate:.2f}" if status.flows_rate > 0 else _MISSING,
        "UPTIME": duration_text(status.uptime_ns),
        "NUM CONNECTED NODES": f"{connected.value:,}" if has_connected else _MISSING,
        "NUM UNAVAIL. NODES": f"{missing.value:,}" if has_missing else _MISSING,
        "VERSION": status.version or _MISSING,
    }


def _dict(status: ServerStatusResponse) -> str:
    pairs = _pairs(status)
    width = max(map(len, pairs))
    return "".join(f"{key:>{width}}: {value}\n" for key, value in pairs.items())


def _table(status: ServerStatusResponse) -> str:
    pairs = _pairs(status)
    heads = [key.replace("UNAVAIL.", "UNAVAILABLE") for key in pairs]
    return grid([heads, list(pairs.values())])


def is_json(output: str) -> bool:
    """Tell whether the format of that name is JSON."""
    return _FORMATS.get(output) is json_line


def json_line(message: Message) -> str:
    """Write a message as JSON, on one line."""
    return Writers().of(message.DESCRIPTOR)(message.SerializeToString()) + "\n"


def status_json(status: ServerStatusResponse, report: NodeReport) -> str:
    """Write a status with the report of losses and problems in it, on one line."""
    fields, own = json_line(status).removesuffix("}\n"), json_line(report).removesuffix("\n")
    return f'{fields}{"," if fields != "{" else ""}"report":{own}}}\n'


_FORMATS: dict[str, Callable[[ServerStatusResponse], str]] = {
    "compact": _compact,
    "dict": _dict,
    "json": json_line,
    "jsonpb": json_line,
    "JSON": json_line,
    "table": _table,
    "tab": _table,
}
