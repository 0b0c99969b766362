"""The fast way for flows: parts that differ one by one, all that repeats as one kept text.

    flow  =  time uuid ethernet IP l4 source destination interface   written each time, or kept
             by part, then cleared
          +  the rest: verdict, types, points, names, Summary ...    serialised, and its text kept
             by these bytes

A flow is parsed by protobuf, which costs a microsecond, and written in six more; walking all of
its fields costs fifteen. The text is the same to the letter: where a shortcut does not fit, the
walk of `writer.py` is taken, part by part.
"""

from typing import Any

from api.proto.flow.flow_pb2 import IP, Flow, IPVersion, Layer4, TCPFlags
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.wirejson import render
from cli.wirejson.writer import MessageWriter, Writers

_KEPT = 8192
PARTS = ("time", "uuid", "ethernet", "IP", "l4", "source", "destination", "interface")
"""Fields written apart from the rest, in declaration order."""


class _Kept(dict[Any, Any]):
    """Texts by what they are made of; at most 8,192."""

    def __init__(self, make: Any) -> None:  # noqa: ANN401  (bytes or text to text)
        self._make = make

    def __missing__(self, key: bytes | str) -> Any:  # noqa: ANN401
        if len(self) >= _KEPT:
            self.clear()
        value = self[key] = self._make(key)
        return value


class FlowLines:
    """Writes responses of GetFlows as JSON texts."""

    def __init__(self) -> None:
        """Make the writers of the parts."""
        writers = Writers()
        self._any_response = writers.of(GetFlowsResponse.DESCRIPTOR)
        self._flow = MessageWriter(Flow.DESCRIPTOR, writers)
        fields = Flow.DESCRIPTOR.fields_by_name
        self._ethernet = _Kept(_named("ethernet", writers.of(fields["ethernet"].message_type)))
        self._interface = _Kept(_named("interface", writers.of(fields["interface"].message_type)))
        endpoint = writers.of(fields["source"].message_type)
        self._source = _Kept(_named("source", endpoint))
        self._destination = _Kept(_named("destination", endpoint))
        self._tcp_flags = _Kept(_named("flags", writers.of(TCPFlags.DESCRIPTOR)))
        self._other_ip = writers.of(IP.DESCRIPTOR)
        self._other_l4 = writers.of(Layer4.DESCRIPTOR)
        self._strings = _Kept(render.quoted)
        self._versions = _Kept(_version)
        self._rest = _Kept(self._segments)

    def __call__(self, message: bytes) -> str:
        """Write a response as a JSON object; raises DecodeError on bytes that are none."""
        response = GetFlowsResponse.FromString(message)
        if not response.HasField("flow"):
            return self._any_response(message)
        flow = response.flow
        moment, outer = flow.time, response.time
        seconds, nanos = moment.seconds, moment.nanos
        time = _time(seconds, nanos) if seconds or nanos or flow.HasField("time") else ""
        # Mostly a response repeats the time of its flow.
        if outer.seconds == seconds and outer.nanos == nanos and seconds:
            outer_time = time
        else:
            outer_time = _time(outer.seconds, outer.nanos) if response.HasField("time") else ""
        node_name = response.node_name
        name = f'"node_name":{self._strings[node_name]},' if node_name else ""
        return f'{{"flow":{{{self._flow_text(flow, time)}}},{name}{outer_time}'[:-1] + "}"

    def _flow_text(self, flow: Flow, time: str) -> str:
        uuid, ip, l4, ethernet, interface = flow.uuid, self._ip(flow), self._l4(flow), "", ""
        source = flow.source.SerializeToString()
        destination = flow.destination.SerializeToString()
        left = self._source[source] if source or flow.HasField("source") else ""
        right = (
            self._destination[destination] if destination or flow.HasField("destination") else ""
        )
        if flow.HasField("ethernet"):
            ethernet = self._ethernet[flow.ethernet.SerializeToString()]
        if flow.HasField("interface"):
            interface = self._interface[flow.interface.SerializeToString()]
        for name in PARTS:
            flow.ClearField(name)
        first, second, third, fourth = self._rest[flow.SerializeToString()]
        identifier = f'"uuid":{render.quoted(uuid)},' if uuid else ""
        text = (
            f"{time}{identifier}{first}{ethernet}{ip}{l4}{second}"
            f"{left}{right}{third}{interface}{fourth}"
        )
        return text[:-1]

    def _segments(self, rest: bytes) -> tuple[str, ...]:
        """Write a flow without its parts: before ethernet, source, interface, and behind it."""
        slots = self._flow.slots(rest)
        cuts = [self._flow.slot(name) for name in ("ethernet", "source", "interface")]
        starts, stops = [0, *cuts], [*cuts, len(slots)]
        return tuple("".join(slots[start:stop]) for start, stop in zip(starts, stops, strict=True))

    def _ip(self, flow: Flow) -> str:
        ip: IP = flow.IP
        source, destination, strings = ip.source, ip.destination, self._strings
        if not (source and destination):
            if not flow.HasField("IP"):
                return ""
            return f'"IP":{self._other_ip(ip.SerializeToString())},'
        xlated = ip.source_xlated
        between = f'"source_xlated":{strings[xlated]},' if xlated else ""
        rest = self._versions[ip.ipVersion, ip.encrypted]
        return (
            f'"IP":{{"source":{strings[source]},{between}'
            f'"destination":{strings[destination]}{rest}}},'
        )

    def _l4(self, flow: Flow) -> str:
        l4 = flow.l4
        tcp = l4.TCP
        source, destination = tcp.source_port, tcp.destination_port
        if source and destination:
            flags = tcp.flags.SerializeToString()
            text = self._tcp_flags[flags] if flags or tcp.HasField("flags") else ""
            ports = f'"source_port":{source},"destination_port":{destination},{text}'
            return f'"l4":{{"TCP":{{{ports[:-1]}}}}},'
        udp = l4.UDP
        source, destination = udp.source_port, udp.destination_port
        if source and destination:
            return f'"l4":{{"UDP":{{"source_port":{source},"destination_port":{destination}}}}},'
        if not flow.HasField("l4"):
            return ""
        return f'"l4":{self._other_l4(l4.SerializeToString())},'


def _time(seconds: int, nanos: int) -> str:
    return f'"time":{render.timestamp(seconds, nanos)},'


def _named(name: str, write: Any) -> Any:  # noqa: ANN401  (payload to text)
    head = f'"{name}":'

    def text(payload: bytes) -> str:
        return f"{head}{write(payload)},"

    return text


def _version(key: tuple[int, bool]) -> str:
    """Write version and encryption, the end of an IP object."""
    version, encrypted = key
    name = f'"{IPVersion.Name(version)}"' if version in IPVersion.values() else version
    text = f',"ipVersion":{name}' if version else ""
    return f'{text},"encrypted":true' if encrypted else text
