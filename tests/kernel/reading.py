"""A packet read slowly, by the book: the oracle of what bpf/include/parse.h and icmp.h make of it.

It imports nothing of the product. In: a frame. Out: what it says, or Refused with the reason that
its drop must name. Ports of later fragments are not here: they stand in the first one.
"""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from tests.kernel.frames import ICMP, ICMPV6, IGMP, SCTP, TCP, UDP, Address

INVALID, TRUNCATED, UNKNOWN_L4, UNKNOWN_L3, BAD_EXTENSION, UNKNOWN_L2 = 134, 135, 137, 139, 156, 166
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, OPTIONS = 0, 43, 44, 51, 60
EXTENSIONS = {HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, OPTIONS}
MOST_EXTENSIONS = 8
HEADER_BYTES = {TCP: 20, UDP: 8, SCTP: 12, ICMP: 8, ICMPV6: 8, IGMP: 0}
ERRORS = {ICMP: {3, 11, 12}, ICMPV6: {1, 2, 3, 4}}
ANSWERS = {
    ICMP: {8: 0, 13: 14, 15: 16, 17: 18, 42: 43},
    ICMPV6: {128: 129, 139: 140, 160: 161},
}
"""Type of a question → type of what answers it."""

Talk = tuple[int, int, Address]
"""Of ICMP: type of the question, 0 and who asks; for what is no question type, code and sender."""


class Refused(Exception):  # noqa: N818 # an outcome, not an error
    """The packet cannot be read: the drop reason, and the protocol if that is what is wrong."""

    def __init__(self, reason: int, protocol: int = 0) -> None:
        super().__init__(f"drop {reason}")
        self.reason = reason
        self.protocol = protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What a packet says; ports in host order."""

    source: Address
    destination: Address
    protocol: int
    ttl: int
    l4: bytes
    """From the transport header to the packet's end."""
    fragment: int | None = None
    """Id of the datagram it is a part of."""
    later: bool = False
    """Not its first part."""
    extended: bool = False
    source_port: int = 0
    destination_port: int = 0
    policy_port: int = 0
    flags: int = 0
    icmp_type: int = 0
    talk: Talk | None = None
    """None: it is no ICMP."""

    @property
    def is_error(self) -> bool:
        """It speaks of another packet. Parts of it that came later cannot tell."""
        return not self.later and self.icmp_type in ERRORS.get(self.protocol, ())


def read(frame: bytes) -> Packet:
    """Read a frame, Ethernet header first. A tag in it counts as an unknown protocol."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == 0x0800:
        packet = _ipv4(frame[14:])
    elif kind == 0x86DD:
        packet = _ipv6(frame[14:])
    else:
        raise Refused(UNKNOWN_L2 if kind < 0x0600 else UNKNOWN_L3)
    return packet if packet.later else _transport(packet)


def _ipv4(data: bytes) -> Packet:
    if len(data) < 20 or data[0] >> 4 != 4:
        raise Refused(INVALID)
    size = (data[0] & 15) * 4
    total, number, place, ttl, protocol = struct.unpack_from("!HHHBB", data, 2)
    if size < 20 or (total and not size <= total <= len(data)):
        raise Refused(INVALID)
    return Packet(
        source=IPv4Address(data[12:16]),
        destination=IPv4Address(data[16:20]),
        protocol=protocol,
        ttl=ttl,
        l4=data[size : total or None],
        fragment=number if place & 0x3FFF else None,
        later=bool(place & 0x1FFF),
    )


def _ipv6(data: bytes) -> Packet:
    if len(data) < 40 or data[0] >> 4 != 6:
        raise Refused(INVALID)
    size, following, hops = struct.unpack_from("!HBB", data, 4)
    source, destination = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    if 40 + size > len(data) or source.ipv4_mapped or destination.ipv4_mapped:
        raise Refused(INVALID)
    packet = Packet(
        source=source,
        destination=destination,
        protocol=following,
        ttl=hops,
        l4=data[40 : 40 + size if size else None],
    )
    for _ in range(MOST_EXTENSIONS + 1):
        if packet.protocol not in EXTENSIONS or packet.later:
            return packet
        packet = _extension(packet)
    raise Refused(BAD_EXTENSION)


def _extension(packet: Packet) -> Packet:
    data = packet.l4
    if len(data) < 8:
        raise Refused(BAD_EXTENSION)
    following, length, place, number = struct.unpack_from("!BBHI", data)
    after = replace(packet, protocol=following, extended=True)
    if packet.protocol == FRAGMENT:
        is_part = bool(place & 0xFFF9)
        return replace(
            after,
            l4=data[8:],
            fragment=number if is_part else None,
            later=bool(place & 0xFFF8),
        )
    size = (length + 2) * 4 if packet.protocol == AUTHENTICATION else (length + 1) * 8
    return replace(after, l4=data[size:])


def _transport(packet: Packet) -> Packet:
    protocol, data = packet.protocol, packet.l4
    is_ipv4 = packet.source.version == 4
    known = protocol in HEADER_BYTES and protocol != (ICMPV6 if is_ipv4 else ICMP)
    if protocol == IGMP:
        known = is_ipv4 and packet.destination.is_multicast
    if not known:
        raise Refused(UNKNOWN_L4, protocol)
    if len(data) < HEADER_BYTES[protocol] or (protocol == TCP and data[12] < 0x50):
        raise Refused(TRUNCATED)
    if protocol == IGMP:
        return packet
    if protocol in ANSWERS:
        found = _with_talk(packet, protocol, data)
        return replace(found, icmp_type=data[0], policy_port=data[0])
    source, destination = struct.unpack_from("!HH", data)
    return replace(
        packet,
        source_port=source,
        destination_port=destination,
        policy_port=destination,
        flags=data[13] if protocol == TCP else 0,
    )


def _with_talk(packet: Packet, protocol: int, data: bytes) -> Packet:
    """Say what the message belongs to. An id stands on the side of who asks."""
    kind, code, number = struct.unpack_from("!BBxxH", data)
    answers = ANSWERS[protocol]
    if kind in answers:
        return replace(packet, talk=(kind, 0, packet.source), source_port=number)
    for question, answer in answers.items():
        if kind == answer:
            talk = (question, 0, packet.destination)
            return replace(packet, talk=talk, destination_port=number)
    return replace(packet, talk=(kind, code, packet.source))


def read_inner(packet: Packet) -> Packet | None:
    """Read the packet that an ICMP error speaks of; None where it cannot be told."""
    data = packet.l4[8:]
    is_ipv4 = packet.source.version == 4
    size = ((data[0] & 15) * 4 if is_ipv4 else 40) if data else 40
    if len(data) < size + 8 or data[0] >> 4 != (4 if is_ipv4 else 6) or size < 20:
        return None
    l4 = data[size:]
    if is_ipv4:
        protocol, source, destination = data[9], data[12:16], data[16:20]
    else:
        protocol, source, destination = data[6], data[8:24], data[24:40]
    address = IPv4Address if is_ipv4 else IPv6Address
    inner = Packet(
        source=address(source),
        destination=address(destination),
        protocol=protocol,
        ttl=0,
        l4=l4,
    )
    if protocol in ANSWERS:
        # of the other family: no connection can have it
        is_known = protocol == (ICMP if is_ipv4 else ICMPV6)
        return _with_talk(inner, protocol, l4) if is_known else inner
    ports = struct.unpack_from("!HH", l4)
    return replace(inner, source_port=ports[0], destination_port=ports[1])
