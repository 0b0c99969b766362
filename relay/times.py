"""When is a message from? Found on the wire, without decoding the flow.

A stamp is a time as merging compares it: seconds in the high bits, and in the low 40 nanoseconds as
a varint of five bytes spells them (little-endian, each byte but the last with its top bit set).
It sorts as the time does, and servers that write so (ours, and Go's three times of four) have it
in a fixed place at the head of each response, so that reading it is one `unpack`:

    prefix  c2 3e n name…  ca 3e 0c 08 s s s s s 10  n n n n n  0a …
    5       └──────────── head, same for a second ┘  nanos      tag of the flow

Everything else (other servers, gaps, progress) is walked field by field.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from api.lane.wire import PREFIX, PREFIX_BYTES
from relay.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER_YET: Final = -(1 << 110)
"""A stamp before all others."""
FOREVER: Final = 1 << 110
"""A stamp after all others."""

TIME: Final = 1001
"""Field of the time in each response; the node's name is 1000, and what it carries is below."""
FLOW, NODE_STATUS, LOST = 1, 2, 3
"""Fields of what a response carries; agent and debug events have the number of flows."""

_NS_PER_S: Final = 1_000_000_000
_NANOS_BITS: Final = 40
_FLOW_TAG: Final = FLOW << 3 | 2
_STAMP_TAGS: Final = b"\xca\x3e\x0c\x08"
_STAMP_HEAD_BYTES: Final = len(_STAMP_TAGS) + 5 + 1
_NANOS_BYTES: Final = 5
_MOST_HEADS: Final = 4_096


class Found(NamedTuple):
    """What the fields of a message say."""

    kind: int | None
    """Number of the field that it carries; None: progress."""
    stamp: int | None
    """None: it says no time."""
    payload: tuple[int, int]
    """Where what it carries begins and ends."""
    time_at: int
    """Where its time's field begins."""


def stamp_of(time_ns: int) -> int:
    """Return the stamp of a time since 1970, nanoseconds."""
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    return _stamp(seconds, nanos)


def time_ns_of(stamp: int) -> int:
    """Return the time of a stamp, nanoseconds since 1970."""
    padded = stamp & (1 << _NANOS_BITS) - 1
    nanos = sum((padded >> 8 * place & 0x7F) << 7 * place for place in range(_NANOS_BYTES))
    return (stamp >> _NANOS_BITS) * _NS_PER_S + nanos


def _stamp(seconds: int, nanos: int) -> int:
    padded = 0x80808080
    for place in range(_NANOS_BYTES):
        padded |= (nanos >> 7 * place & 0x7F) << 8 * place
    return seconds << _NANOS_BITS | padded


class HeadReader:
    """Reads the stamps of messages whose head is the usual one; one for each stream of a node."""

    def __init__(self) -> None:
        self._seconds = _Seconds()
        self._unpack: Callable[[bytes, int], tuple[int, bytes, bytes, int]] | None = None
        self._needs_bytes = 0

    def learn(self, data: bytes, start: int, found: Found) -> None:
        """Look where a message has its time: the next ones may have it in the same place."""
        if found.time_at >= found.payload[0]:
            return
        head_bytes = found.time_at - start + _STAMP_HEAD_BYTES
        if self._seconds.learn(data[start : start + head_bytes]):
            layout = struct.Struct(f">xI{head_bytes}s{_NANOS_BYTES}sB")
            self._unpack, self._needs_bytes = layout.unpack_from, layout.size

    def read(self, data: bytes, position: int, edges: list[int], stamps: list[int]) -> int:
        """Add messages from a position on, as long as they are flows with the usual head.

        Args:
            data: Length-prefixed messages, whole ones.
            position: Where one begins.
            edges: Gets where each message begins.
            stamps: Gets its stamp.

        Returns:
            Where the first message begins that is something else, or the end.
        """
        unpack = self._unpack
        if unpack is None:
            return position
        seconds, number = self._seconds, int.from_bytes
        last = len(data) - self._needs_bytes
        try:
            while position <= last:
                size_bytes, head, nanos, tag = unpack(data, position)
                if tag != _FLOW_TAG:
                    break
                stamps.append(seconds[head] | number(nanos, "little"))
                edges.append(position)
                position += PREFIX_BYTES + size_bytes
        except KeyError:
            pass
        return position


class _Seconds(dict[bytes, int]):
    """Head → seconds in the high bits of a stamp; KeyError for a head of another kind."""

    def __init__(self) -> None:
        super().__init__()
        self._constant = b""

    def learn(self, head: bytes) -> bool:
        """Take the constant part from a head; tell whether it is of the usual kind, and new."""
        constant = head[: len(head) - 6]
        if constant == self._constant or not constant.endswith(_STAMP_TAGS):
            return False
        if _seconds_of(head) is None:
            return False
        self._constant = constant
        return True

    def __missing__(self, head: bytes) -> int:
        seconds = _seconds_of(head) if head.startswith(self._constant) else None
        if seconds is None:
            raise KeyError(head)
        if len(self) >= _MOST_HEADS:
            self.clear()
        value = self[head] = seconds << _NANOS_BITS
        return value


def _seconds_of(head: bytes) -> int | None:
    """Return the seconds at the end of a head, None if they are not five bytes and a tag."""
    spelled, tag = head[-6:-1], head[-1:]
    if tag != b"\x10" or spelled[4] & 0x80 or not all(byte & 0x80 for byte in spelled[:4]):
        return None
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(spelled))


def size_at(data: bytes, position: int) -> int:
    """Return the size of the message whose prefix is at a position, bytes."""
    return int(PREFIX.unpack_from(data, position)[1])


def walk(data: bytes, start: int, stop: int) -> Found:
    """Walk the fields of a response.

    Raises:
        MalformedError: these bytes are no message.
    """
    kind, stamp, payload, time_at = None, None, (start, start), start
    position = start
    while position < stop:
        begin = position
        tag, position = _varint(data, position, stop)
        inside, position = _field(data, position, stop, tag & 7)
        number = tag >> 3
        if number == TIME:
            time_at = begin
            stamp = _parse_time(data[inside:position])
        elif number < TIME - 1:
            kind, payload = number, (inside, position)
    return Found(kind, stamp, payload, time_at)


def _parse_time(data: bytes) -> int:
    try:
        time = Timestamp.FromString(data)
    except DecodeError as error:
        raise MalformedError("read the time of a response: not a timestamp") from error
    return _stamp(time.seconds, min(max(time.nanos, 0), _NS_PER_S - 1))


def _field(data: bytes, position: int, stop: int, wire_type: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends."""
    match wire_type:
        case 0:
            inside, end = position, _varint(data, position, stop)[1]
        case 1:
            inside, end = position, position + 8
        case 2:
            size_bytes, inside = _varint(data, position, stop)
            end = inside + size_bytes
        case 5:
            inside, end = position, position + 4
        case _:
            raise MalformedError(f"read a response: no wire type {wire_type}")
    if end > stop:
        raise MalformedError(f"read a response: a field ends {end - stop} bytes behind it")
    return inside, end


def _varint(data: bytes, position: int, stop: int) -> tuple[int, int]:
    value = shift = 0
    while position < stop and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
    raise MalformedError("read a response: a number without an end")
