r"""Values of a flow that are new each time, read from the wire in the shape that encoders write.

    time      08 ss ss ss ss ss 10 nn nn nn nn [nn]       seconds since 1978, nanoseconds
    ethernet  0a 11 source 12 11 destination
    IP        [18 vv] 0a ll source 12 ll destination [18 vv]
    l4        0a ll 08 pp [pp [pp]] 10 pp [pp [pp]] ...   TCP; 12: UDP

Of any other shape, valid or not, nothing is said here: then protobuf has to look.
"""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

TCP, UDP = 0x0A, 0x12
"""First byte of l4."""
TIME_HEAD_BYTES = 7
"""Bytes of a time up to its nanoseconds: the same for a second."""

SECOND_NS = 1_000_000_000
_SECONDS_TAG, _NANOS_TAG = 0x08, 0x10
_SOURCE_TAG, _DESTINATION_TAG = 0x08, 0x10
_MORE = 0x80
_PORT_LIMIT = 1 << 16
# What the continuation bits of a varint add if its bytes are shifted and added as they are.
_SECOND_BYTE, _THIRD_BYTE = 1 << 7, 1 << 14
_THREE_BYTES = _SECOND_BYTE | _THIRD_BYTE
_FOUR_BYTES = _THREE_BYTES | 1 << 21
_FIVE_BYTES = _FOUR_BYTES | 1 << 28

# What uuids and addresses consist of: nothing that JSON or a terminal takes amiss.
_PLAIN = b"0123456789abcdef-.:"
_MAC_BYTES = 17
_ETHERNET_SHAPE = b"\n\x11\x12\x11"
_IP_SHAPE = re.compile(
    rb"(\x18[\x01\x02])?(\n([\x01-\x27]))(\x12([\x01-\x27]))(\x18[\x01\x02])?"
).fullmatch


class Layout(NamedTuple):
    """Where the texts of an Ethernet and an IP message are, the one behind the other."""

    size_bytes: int
    unpack: Callable[[bytes], tuple[bytes, ...]]
    """Takes both apart: marks and texts in turn, ten in all; the last text is empty."""
    marks: tuple[bytes, ...]
    """What has to stand before Ethernet source and destination, IP source and destination, and
    behind them. With these in place all else is of shape's plain characters."""
    has_ethernet: bool
    ip_version: int


def shape(data: bytes) -> bytes:
    """Leave out what uuids and addresses consist of: tags, lengths, and whatever is odd remain."""
    return data.translate(None, _PLAIN)


def layout(found: bytes) -> Layout | None:
    """Make the layout of Ethernet and IP messages of a shape; None for one that is not usual."""
    has_ethernet = found.startswith(_ETHERNET_SHAPE)
    match = _IP_SHAPE(found[len(_ETHERNET_SHAPE) :] if has_ethernet else found)
    if match is None or (match[1] and match[6]):
        return None
    before, after = match[1] or b"", match[6] or b""
    macs = (_ETHERNET_SHAPE[:2], _ETHERNET_SHAPE[2:]) if has_ethernet else (b"", b"")
    mac_bytes = _MAC_BYTES if has_ethernet else 0
    marks = (*macs, before + match[2], match[4], after)
    texts_bytes = (mac_bytes, mac_bytes, match[3][0], match[5][0], 0)
    parts = struct.Struct(
        "".join(f"{len(mark)}s{size}s" for mark, size in zip(marks, texts_bytes, strict=True))
    )
    return Layout(
        size_bytes=parts.size,
        unpack=parts.unpack,
        marks=marks,
        has_ethernet=has_ethernet,
        ip_version=(before or after or b"\0")[-1],
    )


def seconds(head: bytes) -> int | None:
    """Read the seconds from the head of a time."""
    if len(head) != TIME_HEAD_BYTES or head[0] != _SECONDS_TAG or head[6] != _NANOS_TAG:
        return None
    a, b, c, d, e = head[1:6]
    if not a & b & c & d & _MORE or e >= _MORE:
        return None
    return a + (b << 7) + (c << 14) + (d << 21) + (e << 28) - _FIVE_BYTES


def nanos(time: bytes) -> int:
    """Read the nanoseconds behind the head of a time; -1 if they are in no usual shape."""
    size = len(time)
    if size == TIME_HEAD_BYTES + 5:
        a, b, c, d, e = time[TIME_HEAD_BYTES:]
        value = a + (b << 7) + (c << 14) + (d << 21) + (e << 28) - _FIVE_BYTES
        return value if a & b & c & d & _MORE and value < SECOND_NS else -1
    if size == TIME_HEAD_BYTES + 4:
        a, b, c, d = time[TIME_HEAD_BYTES:]
        if a & b & c & _MORE and d < _MORE:
            return a + (b << 7) + (c << 14) + (d << 21) - _FOUR_BYTES
    return -1


def ports(l4: bytes) -> tuple[int, int, int, bytes] | None:
    """Read protocol (TCP or UDP), ports above 0, and the bytes behind them."""
    size = len(l4)
    if size < 10:
        l4 += b"\0\0\0\0"  # of which nothing is taken: the size is looked at in the end
        if size < 6:
            return None
    kind, inner, first, a, b, c, second, d, e, f = l4[:10]
    if a & b & d & e & _MORE:  # two ports of three bytes, as our servers write all
        source, destination, at = a + (b << 7) + (c << 14), d + (e << 7) + (f << 14), 10
        source, destination = source - _THREE_BYTES, destination - _THREE_BYTES
    else:
        source, at = a, 4
        if a >= _MORE:
            source, at = a + (b << 7) - _SECOND_BYTE, 5
            if b >= _MORE:
                source, at = source + (c << 14) - _THIRD_BYTE, 6
        second, destination, d, e = l4[at : at + 4]
        at += 2
        if destination >= _MORE:
            destination, at = destination + (d << 7) - _SECOND_BYTE, at + 1
            if d >= _MORE:
                destination, at = destination + (e << 14) - _THIRD_BYTE, at + 1
    if first != _SOURCE_TAG or second != _DESTINATION_TAG or inner != size - 2 or at > size:
        return None
    if not (0 < source < _PORT_LIMIT and 0 < destination < _PORT_LIMIT):
        return None
    return kind, source, destination, l4[at:size]
