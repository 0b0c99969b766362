"""Texts of filter flags into values of FlowFilter fields.

Each function takes what was typed and returns what is appended to the field; a ValueError
carries the text that Hubble's users know. What the server checks (ports, protocols, patterns)
is sent as it stands.
"""

from google.protobuf.message import Message

from api.identities import RESERVED_IDENTITIES
from api.proto.flow import flow_pb2
from cli.flags.values import parse_decimal, parse_uint
from cli.names import (
    AGENT_SUB_TYPES,
    EVENT_TYPES,
    TRACE_POINTS,
)

_TCP_FLAGS = ("SYN", "FIN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")
_IP_VERSIONS = {
    **dict.fromkeys(("4", "v4", "ipv4", "ip4"), flow_pb2.IPv4),
    **dict.fromkeys(("6", "v6", "ipv6", "ip6"), flow_pb2.IPv6),
}


def verdict(text: str) -> int:
    """Read the name of a verdict, spelled as the API spells it."""
    if text not in flow_pb2.Verdict.keys():  # noqa: SIM118  (an enum wrapper, not a dict)
        raise ValueError(f"invalid --verdict value: {text}")
    return flow_pb2.Verdict.Value(text)


def drop_reason(text: str) -> int:
    """Read the name of a drop reason, spelled as the API spells it."""
    if not text:
        raise ValueError("empty --drop-reason-desc value")
    if text not in flow_pb2.DropReason.keys():  # noqa: SIM118  (an enum wrapper, not a dict)
        raise ValueError(f"invalid --drop-reason-desc value: {text}")
    return flow_pb2.DropReason.Value(text)


def traffic_direction(text: str) -> int:
    """Read ingress or egress, in any case."""
    match text.lower():
        case "ingress":
            return flow_pb2.INGRESS
        case "egress":
            return flow_pb2.EGRESS
        case _:
            raise ValueError(f"{text}: invalid traffic direction, expected ingress or egress")


def ip_version(text: str) -> int:
    """Read an IP version; any other word asks for flows without IP."""
    return _IP_VERSIONS.get(text.lower(), flow_pb2.IP_NOT_USED)


def ip_version_4(_: str) -> int:
    """Ask for IPv4, whatever the value."""
    return flow_pb2.IPv4


def ip_version_6(_: str) -> int:
    """Ask for IPv6, whatever the value."""
    return flow_pb2.IPv6


def yes(_: str) -> bool:
    """Ask for true, whatever the value."""
    return True


def no(_: str) -> bool:
    """Ask for false, whatever the value."""
    return False


def tcp_flags(text: str) -> Message:
    """Read a comma-separated list of TCP flags that must all be set."""
    names = text.split(",")
    for name in names:
        if name.upper() not in _TCP_FLAGS:
            raise ValueError(f"unknown tcp flag: {name}")
    return flow_pb2.TCPFlags(**{name.upper(): True for name in names})


def identity(text: str) -> int:
    """Read a reserved name or a number."""
    for number, name in RESERVED_IDENTITIES.items():
        if name == text and number:
            return number
    try:
        return parse_uint(text, 32)
    except ValueError:
        # Number 11 is reserved and has no name yet: the list shows it so.
        known = [name for number, name in RESERVED_IDENTITIES.items() if number]
        raise ValueError(
            f"invalid security identity, expected one of [{' '.join(known)} 11] or a numeric value"
        ) from None


def ip_trace_id(text: str) -> int:
    """Read a number above zero."""
    if text == "0":
        raise ValueError("invalid --ip-trace-id value; must be greater than 0")
    try:
        return parse_decimal(text, 64)
    except ValueError as error:
        raise ValueError(f"invalid --ip-trace-id value: {error}") from None


def http_header(text: str) -> Message:
    """Read `name:value`; the value may hold further colons."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f'invalid http-header value "{text}", expected name:value')
    return flow_pb2.HTTPHeader(key=name, value=value)


def interface(text: str) -> Message:
    """Ask for an interface by name."""
    return flow_pb2.NetworkInterface(name=text)


def workload(text: str) -> Message:
    """Read `name`, `Kind/name` or `Kind/`."""
    kind, slash, name = text.partition("/")
    return flow_pb2.Workload(kind=kind, name=name) if slash else flow_pb2.Workload(name=text)


def event_type(text: str) -> Message:
    """Read `TYPE` or `TYPE:SUBTYPE`, names or numbers."""
    name, colon, sub_name = text.partition(":")
    number = EVENT_TYPES.get(name)
    if number is None:
        number = _signed(name, f"unable to parse type '{name}', not a known type name")
    if not colon:
        return flow_pb2.EventTypeFilter(type=number)
    sub_type = _sub_types(name).get(sub_name)
    if sub_type is None:
        sub_type = _signed(
            sub_name, f"unable to parse event sub-type '{sub_name}', not a known sub-type name"
        )
    return flow_pb2.EventTypeFilter(type=number, match_sub_type=True, sub_type=sub_type)


def _sub_types(type_name: str) -> dict[str, int]:
    match type_name:
        case "trace":
            return {point: number for number, point in TRACE_POINTS.items()}
        case "agent":
            return AGENT_SUB_TYPES
        case _:
            return {}


def _signed(text: str, message: str) -> int:
    """Read a number into the signed field: the upper half wraps, as Hubble sends it."""
    try:
        number = parse_decimal(text, 32)
    except ValueError as error:
        raise ValueError(f"{message} and unable to parse as numeric value: {error}") from None
    return number - (1 << 32) if number >> 31 else number
