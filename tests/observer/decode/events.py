"""Builders of whole samples, from the description of the layouts."""

import struct


def _ext(count: int, cookie: int, vlan: int, flags: int) -> bytes:
    return struct.pack("=QIIIHBBQ", count, 1, cookie, 0, vlan, flags, 0, 0)


def _common(kind: int, subtype: int, source: int, packet: bytes, version: int) -> bytes:
    size = len(packet)
    return struct.pack("=BBHIIHBB", kind, subtype, source, 0, size, size, version, 1)


def trace(
    packet: bytes,
    *,
    point: int = 3,
    source: int = 0,
    reason: int = 1,
    original: bytes = b"",
    labels: tuple[int, int] = (0, 0),
    cookie: int = 0,
    ext_flags: int = 0,
    vlan: int = 0,
) -> bytes:
    common = _common(4, point, source, packet, 2)
    header = struct.pack("=IIHBBI16sQ", *labels, 0, reason, 0, 3, original, 0)
    return common + header + _ext(len(packet), cookie, vlan, ext_flags) + packet


def drop(packet: bytes, *, reason: int = 133, source: int = 0, cookie: int = 0) -> bytes:
    common = _common(1, reason, source, packet, 3)
    header = struct.pack("=IIIHBbIB3xQ", 0, 0, 0, 101, 202, 0, 3, 0, 0)
    return common + header + _ext(len(packet), cookie, 0, 0) + packet


def verdict(packet: bytes, *, value: int = 0, flags: int = 1, cookie: int = 0) -> bytes:
    common = _common(5, 0, 7, packet, 1)
    header = struct.pack("=IiHBBB3xII", 0, value, 443, 6, flags, 0, cookie, 0)
    return common + header + _ext(0, 0, 0, 0) + packet
