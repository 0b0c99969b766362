"""Frames built byte by byte, so that a test knows exactly what it sends."""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

Address = IPv4Address | IPv6Address

TCP, UDP, SCTP, ICMP, ICMPV6, IGMP = 6, 17, 132, 1, 58, 2
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
# of ICMP and ICMPv6, whose numbers do not meet: questions and what answers them
_ANSWERS = {8: 0, 13: 14, 128: 129, 139: 140}


def checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total = sum(int(word[0]) for word in struct.iter_unpack("!H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(source: Address, destination: Address, protocol: int, size: int) -> bytes:
    if source.version == 4:
        return source.packed + destination.packed + struct.pack("!BBH", 0, protocol, size)
    return source.packed + destination.packed + struct.pack("!II", size, protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A packet of one protocol; `encode` gives the bytes from the Ethernet header on."""

    source: Address
    destination: Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    flags: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0
    payload: bytes = b""
    source_mac: bytes = b"\x02\0\0\0\0\x01"
    destination_mac: bytes = b"\x02\0\0\0\0\x02"
    ttl: int = 64
    options: bytes = b""
    """IPv4 options, or IPv6 extension headers as (own type, bytes without the next-header byte)."""
    vlan: int | None = None
    l4: bytes | None = None
    """Instead of a header made from the fields above."""
    fragment: tuple[int, int, bool] | None = None
    """Id, offset in bytes, more fragments."""
    extension: int = 0
    """IPv6: type of the extension header in `options`."""

    def reply(self, **changes: object) -> Self:
        """The same in the other direction; ICMP questions become answers."""
        turned = replace(
            self,
            source=self.destination,
            destination=self.source,
            source_port=self.destination_port,
            destination_port=self.source_port,
            source_mac=self.destination_mac,
            destination_mac=self.source_mac,
            icmp_type=_ANSWERS.get(self.icmp_type, self.icmp_type),
        )
        return replace(turned, **changes)  # type: ignore[arg-type]

    def but(self, **changes: object) -> Self:
        return replace(self, **changes)  # type: ignore[arg-type]

    def encode(self) -> bytes:
        l4 = self.l4 if self.l4 is not None else self._l4()
        ip = self._ipv4(l4) if self.source.version == 4 else self._ipv6(l4)
        kind = 0x0800 if self.source.version == 4 else 0x86DD
        tag = b"" if self.vlan is None else struct.pack("!HH", 0x8100, self.vlan)
        return self.destination_mac + self.source_mac + tag + struct.pack("!H", kind) + ip

    def _l4(self) -> bytes:
        ports = struct.pack("!HH", self.source_port, self.destination_port)
        if self.protocol == TCP:
            rest = struct.pack("!IIBBHHH", 1, 1, 0x50, self.flags, 1024, 0, 0)
            return self._summed(ports + rest + self.payload, 16)
        if self.protocol == UDP:
            size = 8 + len(self.payload)
            return self._summed(ports + struct.pack("!HH", size, 0) + self.payload, 6)
        if self.protocol == SCTP:
            return ports + bytes(8) + self.payload
        body = (
            struct.pack("!BBHHH", self.icmp_type, self.icmp_code, 0, self.icmp_id, 1) + self.payload
        )
        if self.protocol == ICMPV6:
            return self._summed(body, 2)
        return body[:2] + struct.pack("!H", checksum(body)) + body[4:]

    def _summed(self, l4: bytes, at: int) -> bytes:
        pseudo = pseudo_header(self.source, self.destination, self.protocol, len(l4))
        return l4[:at] + struct.pack("!H", checksum(pseudo + l4)) + l4[at + 2 :]

    def _ipv4(self, l4: bytes) -> bytes:
        number, offset, more = self.fragment or (7, 0, False)
        head = struct.pack(
            "!BBHHHBBH",
            0x40 | (5 + len(self.options) // 4),
            0,
            20 + len(self.options) + len(l4),
            number,
            offset // 8 | (0x2000 if more else 0),
            self.ttl,
            self.protocol,
            0,
        )
        head += self.source.packed + self.destination.packed + self.options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + l4

    def _ipv6(self, l4: bytes) -> bytes:
        following, body = self.protocol, l4
        if self.fragment is not None:
            number, offset, more = self.fragment
            body = struct.pack("!BBHI", following, 0, offset | more, number) + body
            following = 44
        if self.options:
            body = bytes([following]) + self.options + body
            following = self.extension
        head = struct.pack("!IHBB", 6 << 28, len(body), following, self.ttl)
        return head + self.source.packed + self.destination.packed + body


def arp(operation: int, *, sender: str, sender_mac: bytes, target: str) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    body += sender_mac + ip_address(sender).packed + bytes(6) + ip_address(target).packed
    return b"\xff" * 6 + sender_mac + b"\x08\x06" + body


def solicitation(*, source: str, target: str, mac: bytes, option: bool = True) -> Frame:
    wanted = IPv6Address(target)
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + wanted.packed[-3:])
    message = Frame(
        source=IPv6Address(source),
        destination=group,
        protocol=ICMPV6,
        icmp_type=135,
        payload=wanted.packed + (b"\x01\x01" + mac if option else b""),
        source_mac=mac,
        destination_mac=b"\x33\x33" + group.packed[-4:],
        ttl=255,
    )
    return message
