"""What a sample says, read slowly and one by one: the answers that benches are checked against.

Written from bpf/include/events.h and the RFCs alone and sharing nothing with `observer.decode`,
so that a fast wrong answer is found out. It reads the common cases; of all others (old versions,
tunnels, options, fragments, cut packets) it says nothing. Only for benches: 5 µs a sample.
"""

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from api.proto.flow import flow_pb2
from observer.table.columns import L4Kind

_COMMON: Final = struct.Struct("=BBHIIHBB")
_EXT_BYTES: Final = 32
_DROP, _TRACE, _VERDICT = 1, 4, 5
_HEADERS: Final = {(_DROP, 3): 48, (_TRACE, 2): 56, (_VERDICT, 1): 40}
_FLAGS_AT: Final = {_DROP: 36, _TRACE: 27}
_IPV6, _TUNNELS = 0x01, 0x0C
_VERDICT_FLAGS_AT: Final = 27
_AUDITED, _VERDICT_L3 = 0x40, 0x80
_L3: Final = 0x02
_PORTS: Final = struct.Struct("!HH")
_LAYER4: Final = {6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMPv4", 58: "ICMPv6"}
_LAYER4_BYTES: Final = {6: 20, 17: 8, 132: 12, 1: 8, 58: 4}


class Packet(NamedTuple):
    """What a flow must say of its packet."""

    verdict: int
    """flow.Verdict."""
    source: str
    destination: str
    layer4: str
    """Name of the member in flow.Layer4's oneof."""
    source_port: int
    """ICMP: the type."""
    destination_port: int
    """ICMP: the code."""


def read(sample: bytes) -> Packet | None:
    """Read a sample; None for anything but a plain one."""
    kind, _, _, _, _, captured, version, ext_version = _COMMON.unpack_from(sample)
    header_bytes = _HEADERS.get((kind, version))
    if header_bytes is None or ext_version != 1:
        return None
    if kind == _VERDICT:
        if sample[_VERDICT_FLAGS_AT] & _VERDICT_L3:
            return None
    elif sample[_FLAGS_AT[kind]] & (_L3 | _TUNNELS):
        return None
    start = header_bytes + _EXT_BYTES
    told = _packet(sample[start : start + captured])
    if told is None:
        return None
    told = told._replace(verdict=_verdict(kind, sample))
    source = _before_translation(kind, sample)
    return told if source is None else told._replace(source=source)


def of_flow(flow: flow_pb2.Flow) -> Packet:
    """Read a flow the same way."""
    ip = flow.IP
    layer4 = flow.l4.WhichOneof("protocol") or ""
    first, second = 0, 0
    if layer4 in ("TCP", "UDP", "SCTP"):
        ports = getattr(flow.l4, layer4)
        first, second = ports.source_port, ports.destination_port
    elif layer4 in ("ICMPv4", "ICMPv6"):
        icmp = getattr(flow.l4, layer4)
        first, second = icmp.type, icmp.code
    return Packet(flow.verdict, ip.source, ip.destination, layer4, first, second)


def of_row(columns: Mapping[str, NDArray[Any]], slot: int) -> Packet:
    """Read a row of the flow table the same way."""
    kind = int(columns["l4_kind"][slot])
    return Packet(
        int(columns["verdict"][slot]),
        _column_text(columns["source_ip"][slot].tobytes()),
        _column_text(columns["destination_ip"][slot].tobytes()),
        L4Kind(kind).name.replace("ICMPV", "ICMPv") if kind else "",
        int(columns["source_port"][slot]),
        int(columns["destination_port"][slot]),
    )


def _column_text(address: bytes) -> str:
    """Write the 16 bytes of an address column, IPv4 as ::ffff:a.b.c.d, as a flow does."""
    found = IPv6Address(address)
    return str(found.ipv4_mapped or found)


def _verdict(kind: int, sample: bytes) -> int:
    if kind == _DROP:
        return flow_pb2.DROPPED
    if kind == _TRACE:
        return flow_pb2.FORWARDED
    (number,) = struct.unpack_from("=i", sample, 20)
    if number < 0:
        return flow_pb2.DROPPED
    if number > 0:
        return flow_pb2.REDIRECTED
    audited = sample[_VERDICT_FLAGS_AT] & _AUDITED
    return flow_pb2.AUDIT if audited else flow_pb2.FORWARDED


def _before_translation(kind: int, sample: bytes) -> str | None:
    """The source address that a trace carries apart from the packet's own."""
    if kind != _TRACE:
        return None
    address = sample[32:48]
    if not any(address):
        return None
    return _text(address if sample[_FLAGS_AT[_TRACE]] & _IPV6 else address[:4])


def _packet(packet: bytes) -> Packet | None:
    """Read an Ethernet frame; the verdict is still unknown."""
    match packet[12:14]:
        case b"\x08\x00" if len(packet) >= 34 and packet[14] == 0x45 and not _fragment(packet):
            source, destination, start, protocol = 26, 30, 34, packet[23]
        case b"\x86\xdd" if len(packet) >= 54:
            source, destination, start, protocol = 22, 38, 54, packet[20]
        case _:
            return None
    if len(packet) - start < _LAYER4_BYTES.get(protocol, 1 << 16):
        return None
    if (protocol == 1 and start == 54) or (protocol == 58 and start == 34):
        return None
    name = _LAYER4[protocol]
    is_icmp = name.startswith("ICMP")
    first, second = packet[start : start + 2] if is_icmp else _PORTS.unpack_from(packet, start)
    addresses = _text(packet[source:destination]), _text(packet[destination:start])
    return Packet(0, *addresses, name, first, second)


def _text(address: bytes) -> str:
    return str(IPv4Address(address) if len(address) == 4 else IPv6Address(address))


def _fragment(packet: bytes) -> bool:
    return bool((packet[20] & 0x3F) | packet[21])
