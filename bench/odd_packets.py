"""The one packet in a hundred that is not like the others, one builder for each kind.

Each gives the bytes of a whole sample, short of the padding. ODD_KINDS are packets that real
networks send now and then; FOREIGN_KINDS are samples that our own programs never write: captures
without Ethernet or inside of a tunnel, other versions, other types, garbage.
"""

import struct
from collections.abc import Callable
from typing import Final

_ETHERNET: Final = bytes(range(12))
_TCP: Final = struct.pack(">HHIIBBHHH", 41000, 443, 1, 1, 0x50, 0x10, 512, 0, 0)
_UDP: Final = struct.pack(">HHHH", 5353, 53, 8, 0)
_SCTP: Final = struct.pack(">HHII", 36412, 36412, 1, 0)


def trace(packet: bytes, *, flags: int = 0, captured: int | None = None) -> bytes:
    """Build a trace event (to-stack, established) with our ext in front of the packet."""
    size = len(packet) if captured is None else captured
    common = struct.pack("=BBHIIHBB", 4, 3, 7, 0, len(packet), size, 2, 1)
    header = common + struct.pack("=IIHBBI16sQ", 1000, 2, 0, 1, flags, 3, b"", 0)
    return header + struct.pack("=QIIIHBBQ", len(packet), 1, 0, 0, 0, 0, 0, 0) + packet


def ethernet(ethertype: int, payload: bytes) -> bytes:
    """Put an Ethernet header in front."""
    return _ETHERNET + struct.pack(">H", ethertype) + payload


def ipv4(proto: int, payload: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    """Build an IPv4 packet; `fragment` is the raw flags and offset field."""
    words = 5 + len(options) // 4
    size = words * 4 + len(payload)
    addresses = bytes((10, 0, 0, 1, 192, 0, 2, 9))
    fixed = struct.pack(">BBHHHBBH", 0x40 | words, 0, size, 1, fragment, 64, proto, 0)
    return fixed + addresses + options + payload


def ipv6(proto: int, payload: bytes) -> bytes:
    """Build an IPv6 packet; extension headers are part of the payload."""
    source = bytes.fromhex("fd00000000000000000000000000aa01")
    destination = bytes.fromhex("20010db8000000000000000000000009")
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 64) + source + destination + payload


def _vxlan() -> bytes:
    inner = ethernet(0x0800, ipv4(6, _TCP))
    udp = struct.pack(">HHHH", 50000, 8472, 16 + len(inner), 0)
    header = struct.pack(">II", 0x08000000, 1234 << 8)
    return trace(ethernet(0x0800, ipv4(17, udp + header + inner)), flags=0x04)


def _old_drop() -> bytes:
    packet = ethernet(0x0800, ipv4(17, _UDP))
    common = struct.pack("=BBHIIHBB", 1, 133, 7, 0, len(packet), len(packet), 1, 0)
    return common + struct.pack("=IIIHBbI", 1000, 2, 0, 77, 2, 0, 3) + packet


def _trace_sock() -> bytes:
    address = bytes((10, 96, 0, 10)) + bytes(12)
    return struct.pack("=BB16sHQQBB", 7, 1, address, 53, 99, 4242, 2, 0)


ODD_KINDS: Final[tuple[Callable[[], bytes], ...]] = (
    lambda: trace(ethernet(0x0800, ipv4(6, _TCP, options=bytes((1, 1, 1, 0))))),
    lambda: trace(ethernet(0x0800, ipv4(17, _UDP, fragment=0x2000))),
    lambda: trace(ethernet(0x0800, ipv4(17, _UDP, fragment=0x00B9))),
    lambda: trace(ethernet(0x0800, ipv4(132, _SCTP))),
    lambda: trace(ethernet(0x0800, ipv4(2, b"\x16" + bytes(7)))),
    lambda: trace(ethernet(0x86DD, ipv6(0, bytes((6, 0, 5, 2, 0, 0, 1, 0)) + _TCP))),
    lambda: trace(ethernet(0x86DD, ipv6(44, struct.pack(">BBHI", 17, 0, 8, 5) + _UDP))),
    lambda: trace(ethernet(0x8100, struct.pack(">HH", 100, 0x0800) + ipv4(6, _TCP))),
    lambda: trace(ethernet(0x0806, bytes(28))),
)
FOREIGN_KINDS: Final[tuple[Callable[[], bytes], ...]] = (
    lambda: trace(ipv4(6, _TCP), flags=0x02),
    _vxlan,
    lambda: trace(ethernet(0x0800, ipv4(6, _TCP)), captured=40),
    _old_drop,
    _trace_sock,
    lambda: bytes((2,)) + bytes(19),
    lambda: bytes((200,)) + bytes(range(100)),
)
