"""The fast way for flows: parts that differ one by one, all that repeats as one kept text.

    flow  =  time uuid ethernet IP l4                       unique: written each time
          +  source destination file interface policies     kept by their bytes
          +  the rest: verdict, types, points, Summary ...  kept by its bytes, cut into six where
                                                            the others belong

A flow is parsed by protobuf, which costs a microsecond, and written in six more; walking all of
its fields costs fifteen. The text is the same to the letter: where a shortcut does not fit, the
walk of `writer.py` is taken, part by part.
"""

from typing import Any

from api.proto.flow.flow_pb2 import (
    IP,
    Ethernet,
    FileInfo,
    Flow,
    IPVersion,
    Layer4,
    Policy,
    TCPFlags,
)
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.names import EVENT_TRACE
from cli.wirejson import render
from cli.wirejson.writer import MessageWriter, Writers

_KEPT = 8192
PARTS = ("time", "uuid", "ethernet", "IP", "l4", "source", "destination", "interface")
"""Fields written apart from the rest; of all events but traces also file and the following."""
POLICY_FIELDS = (
    "egress_allowed_by",
    "ingress_allowed_by",
    "egress_denied_by",
    "ingress_denied_by",
)


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
        self._ethernet = writers.of(Ethernet.DESCRIPTOR)
        self._ip = writers.of(IP.DESCRIPTOR)
        self._policy = _Kept(writers.of(Policy.DESCRIPTOR))
        self._file = _Kept(_named("file", writers.of(FileInfo.DESCRIPTOR)))
        self._interface = _Kept(_named("interface", writers.of(fields["interface"].message_type)))
        endpoint = writers.of(fields["source"].message_type)
        self._source = _Kept(_named("source", endpoint))
        self._destination = _Kept(_named("destination", endpoint))
        self._tcp_flags = _Kept(_named("flags", writers.of(TCPFlags.DESCRIPTOR)))
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
        unique, ethernet, ip = self._unique(flow)
        l4, file, interface, policies = self._l4(flow), "", "", ""
        source = flow.source.SerializeToString()
        destination = flow.destination.SerializeToString()
        left = self._source[source] if source or flow.HasField("source") else ""
        right = (
            self._destination[destination] if destination or flow.HasField("destination") else ""
        )
        if flow.HasField("interface"):
            interface = self._interface[flow.interface.SerializeToString()]
        if flow.event_type.type != EVENT_TRACE:
            file, policies = self._judgement(flow)
        for name in PARTS:
            flow.ClearField(name)
        a, b, c, d, e, f = self._rest[flow.SerializeToString()]
        return (
            f"{time}{unique}{a}{ethernet}{ip}{l4}{b}"
            f"{left}{right}{c}{file}{d}{interface}{e}{policies}{f}"
        )[:-1]

    def _segments(self, rest: bytes) -> tuple[str, ...]:
        """Write a flow without its parts, cut where they belong: five cuts, six texts."""
        slots = self._flow.slots(rest)
        names = ("ethernet", "source", "file", "interface", POLICY_FIELDS[0])
        cuts = [self._flow.slot(name) for name in names]
        return tuple(
            "".join(slots[start:stop])
            for start, stop in zip([0, *cuts], [*cuts, len(slots)], strict=True)
        )

    def _unique(self, flow: Flow) -> tuple[str, str, str]:
        """Write uuid, ethernet and IP: texts that hardly ever come again are not kept."""
        ip, ethernet, uuid = flow.IP, flow.ethernet, flow.uuid
        left, right, mac_left, mac_right = (
            ip.source,
            ip.destination,
            ethernet.source,
            ethernet.destination,
        )
        # One look for all of them: nothing in such texts has ever to be escaped.
        if not (uuid and left and right and mac_left and mac_right) or render.is_special(
            f"{uuid}{left}{right}{mac_left}{mac_right}"
        ):
            return self._unusual(flow)
        xlated = ip.source_xlated
        between = f'"source_xlated":{render.quoted(xlated)},' if xlated else ""
        rest = self._versions[ip.ipVersion, ip.encrypted]
        return (
            f'"uuid":"{uuid}",',
            f'"ethernet":{{"source":"{mac_left}","destination":"{mac_right}"}},',
            f'"IP":{{"source":"{left}",{between}"destination":"{right}"{rest}}},',
        )

    def _unusual(self, flow: Flow) -> tuple[str, str, str]:
        """Write uuid, ethernet and IP with all cares: unset, empty or to be escaped."""
        ethernet = ip = ""
        if flow.HasField("ethernet"):
            ethernet = f'"ethernet":{self._ethernet(flow.ethernet.SerializeToString())},'
        if flow.HasField("IP"):
            ip = f'"IP":{self._ip(flow.IP.SerializeToString())},'
        return f'"uuid":{render.quoted(flow.uuid)},' if flow.uuid else "", ethernet, ip

    def _judgement(self, flow: Flow) -> tuple[str, str]:
        """Write the source line of a drop, and the policies behind a drop or verdict."""
        file = policies = ""
        if flow.HasField("file"):
            file = self._file[flow.file.SerializeToString()]
            flow.ClearField("file")
        for name in POLICY_FIELDS:
            listed = getattr(flow, name)
            if listed:
                texts = [self._policy[each.SerializeToString()] for each in listed]
                policies += f'"{name}":[{",".join(texts)}],'
                flow.ClearField(name)
        return file, policies

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
