"""Bytes of an HTTP/2 connection, from the fuzzer's decisions and for seeds.

A first byte with bit 0 set: frames of (kind, flags, stream, length, payload), all but the payload
one byte, which get HTTP/2's heads. Without: the bytes of the wire. The other bits say in how many
pieces they arrive.
"""

import struct
from collections.abc import Iterator

import hpack

from api.lane.wire import frame, frame_head
from tests.fuzz.choices import Choices

MOST_BYTES = 2048
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
STREAMS = (0, 1, 1, 1, 3, 5, 7, 9, 11, 13, 2, 4, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1)


def wire_of(data: bytes) -> tuple[bytes, int]:
    """Give the bytes of the wire, and the size of the pieces they shall arrive in."""
    choices = Choices(data[:MOST_BYTES])
    mode = choices.number(1)
    piece_bytes = (1, 3, 7, 9, 10, 64, 1000, MOST_BYTES)[mode >> 1 & 7]
    if not mode & 1:
        return choices.take(MOST_BYTES), piece_bytes
    frames = []
    while choices.left:
        kind, flags = choices.number(1) % 12, choices.number(1)
        stream_id = STREAMS[choices.number(1) % len(STREAMS)]
        payload = choices.chunk()
        frames.append(frame_head(len(payload), kind, flags, stream_id) + payload)
    return b"".join(frames), piece_bytes


def pieces(wire: bytes, piece_bytes: int) -> list[bytes]:
    """Cut it."""
    return [wire[at : at + piece_bytes] for at in range(0, len(wire), piece_bytes)]


Frame = tuple[int, int, int, bytes]


def block(*headers: tuple[str, str]) -> bytes:
    """Write a header block that begins a connection."""
    return hpack.Encoder().encode(headers)


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def both_forms(name: str, frames: list[Frame]) -> Iterator[tuple[str, bytes]]:
    """Give a seed as frames and as the bytes of the wire, in pieces of different sizes."""
    odd = b"".join(
        bytes((kind, flags, STREAMS.index(stream_id), len(payload))) + payload
        for kind, flags, stream_id, payload in frames
    )
    wire = b"".join(frame_head(len(p), kind, flags, s) + p for kind, flags, s, p in frames)
    yield f"{name}, frames", b"\x0f" + odd
    yield f"{name}, wire", b"\x06" + wire


def control_frames() -> list[Frame]:
    """Give one of each that either side may get at any time."""
    return [
        (SETTINGS, 0, 0, struct.pack(">HIHI", 4, 1000, 5, 1 << 14)),
        (SETTINGS, 1, 0, b""),
        (PING, 0, 0, b"12345678"),
        (PING, 1, 0, b"lane-rtt"),
        (WINDOW, 0, 0, number(1 << 16)),
        (PRIORITY, 0, 3, number(0) + b"\x10"),
        (10, 0, 0, b"?"),
    ]


MESSAGES = frame(b"one") + frame(b"") + frame(b"x" * 100)
