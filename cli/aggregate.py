"""`--aggregate-by FIELDS`: flows counted in groups, shown when all is there.

    responses ──► key: the texts of the fields ──► count, packets, bytes, first and last seen

Packets and bytes come from servers that tell them (leavitt.FlowDetails); a flow without them
counts as unknown, and a group of such shows none. At most 65,536 groups are kept; what belongs
to none of them is counted together as `(others)`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from api.proto.flow.flow_pb2 import Flow, TrafficDirection, Verdict
from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.errors import UsageError
from cli.printers.color import palette
from cli.printers.flowtext import FlowText, TextOptions
from cli.printers.grid import grid
from cli.times import MISSING, SECOND_NS, TimeText

DETAILS_METADATA = (("leavitt-details", "1"),)
"""Asks a server for packets and bytes."""

_KEPT = 65_536
_OTHERS = "(others)"
_OLDEST_NS = 1 << 63
_PORTS = ("TCP", "UDP", "SCTP")

Field = Callable[[Flow], str]


@dataclass(slots=True)
class _Group:
    """What is known of one group; grows with each flow."""

    flows: int = 0
    packets: int = 0
    size_bytes: int = 0
    first_ns: int = _OLDEST_NS
    last_ns: int = 0

    def add(self, flow: Flow) -> None:
        self.flows += 1
        if flow.HasField("time"):
            time_ns = flow.time.seconds * SECOND_NS + flow.time.nanos
            self.first_ns = min(self.first_ns, time_ns)
            self.last_ns = max(self.last_ns, time_ns)
        details = FlowDetails()
        if flow.HasField("extensions") and flow.extensions.Unpack(details):
            self.packets += details.packets
            self.size_bytes += details.bytes


def field_names() -> tuple[str, ...]:
    """List the fields that flows can be aggregated by."""
    return tuple(sorted(_FIELDS))


class AggregatePrinter:
    """Counts the flows of an answer; gaps and node states are left out."""

    def __init__(self, names: Sequence[str], output: str, time: TimeText) -> None:
        """Take field names, the format (compact and table are one) and the time format.

        Raises:
            UsageError: a name that is no field.
        """
        for name in names:
            if name not in _FIELDS:
                known = ", ".join(field_names())
                raise UsageError(f"invalid --aggregate-by field: {name}, expected one of {known}")
        self._names = names
        self._fields = [_FIELDS[name] for name in names]
        self._output = output
        self._time = time
        self._groups: dict[tuple[str, ...], _Group] = {}

    def batch(self, messages: Sequence[bytes]) -> str:
        """Count a batch; raises DecodeError on bytes that are no response."""
        for message in messages:
            response = GetFlowsResponse.FromString(message)
            if response.HasField("flow"):
                self._group(response.flow).add(response.flow)
        return ""

    def finish(self) -> str:
        """Write the groups, the largest first."""
        ordered = sorted(self._groups.items(), key=lambda each: (-each[1].flows, each[0]))
        rows = [self._row(key, group) for key, group in ordered]
        heads = [*self._heads(), "FLOWS", "PACKETS", "BYTES", "FIRST SEEN", "LAST SEEN"]
        neutralise = palette(colored=False).neutralise
        match self._output:
            case _ if not rows:
                return ""
            case "json":
                keys = [head.lower().replace(" ", "_") for head in heads]
                known = ([None if cell == MISSING else cell for cell in row] for row in rows)
                return "".join(
                    json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) + "\n"
                    for row in known
                )
            case "dict":
                width = max(map(len, heads))
                blocks = (
                    "".join(
                        f"{head:>{width}}: {cell}\n" for head, cell in zip(heads, row, strict=True)
                    )
                    for row in rows
                )
                return neutralise("------------\n".join(blocks))
            case _:
                return grid([heads, *([neutralise(str(cell)) for cell in row] for row in rows)])

    def _group(self, flow: Flow) -> _Group:
        key = tuple(field(flow) for field in self._fields)
        if key not in self._groups and len(self._groups) >= _KEPT:
            key = (_OTHERS,) * len(self._fields)
        return self._groups.setdefault(key, _Group())

    def _heads(self) -> list[str]:
        return [name.upper().replace("-", " ") for name in self._names]

    def _row(self, key: tuple[str, ...], group: _Group) -> list[str | int]:
        seen = group.last_ns and group.first_ns < _OLDEST_NS
        first, last = (
            (self._stamp(group.first_ns), self._stamp(group.last_ns))
            if seen
            else (MISSING, MISSING)
        )
        told = [group.packets or MISSING, group.size_bytes or MISSING]
        return [*key, group.flows, *told, first, last]

    def _stamp(self, time_ns: int) -> str:
        return self._time(*divmod(time_ns, SECOND_NS))


_TEXT = FlowText(TextOptions(), palette(colored=False))


def _end(side: int) -> Field:
    def name(flow: Flow) -> str:
        host = _TEXT.hosts(flow, flow.source, flow.destination)[side]
        port = _ports(flow)[side]
        return host.removesuffix(f":{port}").strip("[]") if port else host

    return name


def _ports(flow: Flow) -> tuple[int, int]:
    protocol = flow.l4.WhichOneof("protocol")
    if protocol not in _PORTS:
        return 0, 0
    ports = getattr(flow.l4, protocol)
    return ports.source_port, ports.destination_port


def _port(flow: Flow) -> str:
    """Name the port of the server: of a reply, the source's."""
    source, destination = _ports(flow)
    return str((source if flow.is_reply.value else destination) or "-")


def _text(path: str) -> Field:
    read = attrgetter(path)
    return lambda flow: str(read(flow)) or "-"


def _protocol(flow: Flow) -> str:
    return flow.l7.WhichOneof("record") or flow.l4.WhichOneof("protocol") or "-"


_FIELDS: dict[str, Field] = {
    "source": _end(0),
    "destination": _end(1),
    "port": _port,
    "protocol": _protocol,
    "verdict": lambda flow: Verdict.Name(flow.verdict) if flow.verdict in Verdict.values() else "-",
    "type": lambda flow: _TEXT.judgement(flow)[0],
    "direction": lambda flow: (
        TrafficDirection.Name(flow.traffic_direction) if flow.traffic_direction in (1, 2) else "-"
    ),
    "node": _text("node_name"),
    "source-ip": _text("IP.source"),
    "destination-ip": _text("IP.destination"),
    "source-namespace": _text("source.namespace"),
    "destination-namespace": _text("destination.namespace"),
    "source-pod": _text("source.pod_name"),
    "destination-pod": _text("destination.pod_name"),
    "source-identity": _text("source.identity"),
    "destination-identity": _text("destination.identity"),
}
