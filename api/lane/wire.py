"""Bytes of gRPC messages and of HTTP/2 DATA frames.

A gRPC message on the wire is a prefix and its bytes; any number of them, joined, may share DATA
frames, and one may span many. An HTTP/2 frame is a head and its payload:

=======  ======  ==========================     =======  ======  ==========================
offset   size    message                        offset   size    frame
=======  ======  ==========================     =======  ======  ==========================
0        1       compressed (0 or 1)            0        3       payload length, big-endian
1        4       length, big-endian             3        1       type
5        length  protobuf bytes                 4        1       flags
..                                              5        4       stream id (top bit unused)
=======  ======  ==========================     =======  ======  ==========================

Nothing here does I/O or knows about streams; ``intake`` and ``stream`` are the users.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from api.lane.status import Code, RpcError

PREFIX = struct.Struct(">BI")
PREFIX_BYTES = PREFIX.size
FRAME_HEAD = struct.Struct(">BHBBI")
FRAME_HEAD_BYTES = FRAME_HEAD.size
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame."""
MAX_FRAME_BYTES = 16_384
"""Largest payload we accept: HTTP/2's default, which we do not raise."""


class Framed(NamedTuple):
    """Length-prefixed messages, joined, ready for DATA; ``count`` says how many."""

    data: bytes
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls on a batch


def frame(message: bytes) -> bytes:
    """Return the message with its prefix, uncompressed."""
    return PREFIX.pack(0, len(message)) + message


def frame_head(size_bytes: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the 9-byte head of an HTTP/2 frame."""
    return FRAME_HEAD.pack(size_bytes >> 16, size_bytes & 0xFFFF, kind, flags, stream_id)


def data_frames(stream_id: int, data: memoryview, max_frame_bytes: int) -> list[bytes | memoryview]:
    """Cut bytes into DATA frames: heads and slices in turn, ready to be joined."""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data), max_frame_bytes):
        piece = data[start : start + max_frame_bytes]
        parts.append(frame_head(len(piece), 0, 0, stream_id))
        parts.append(piece)
    return parts


class Deframer:
    """Collects received bytes and gives back whole messages.

    Holds at most one incomplete message beyond what the HTTP/2 window lets in; a message that
    announces more than ``max_message_bytes`` is refused before its bytes arrive.
    """

    __slots__ = ("_buffer", "_max_message_bytes", "_need_bytes", "encoding")

    def __init__(self, max_message_bytes: int) -> None:
        self._buffer = bytearray()
        self._max_message_bytes = max_message_bytes
        # Bytes that must be there before looking again: saves joining a large message per frame.
        self._need_bytes = PREFIX_BYTES
        self.encoding = "identity"

    @property
    def ready(self) -> bool:
        """Whether there is something to take: a whole message, or an error about one."""
        size = len(self._buffer)
        if size < self._need_bytes:
            return False
        if self._need_bytes == PREFIX_BYTES:
            compressed, length = PREFIX.unpack_from(self._buffer)
            if not compressed and length <= self._max_message_bytes:
                self._need_bytes = PREFIX_BYTES + length
        return size >= self._need_bytes

    @property
    def partial(self) -> bool:
        """Whether bytes are left; at the end of a stream they are a truncated message."""
        return bool(self._buffer)

    def push(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def messages(self) -> list[bytes]:
        """Take all whole messages; those before a bad one first.

        Raises:
            RpcError: the first message is too large (RESOURCE_EXHAUSTED) or compressed
                (UNIMPLEMENTED).
        """
        data = bytes(self._buffer)
        size, start = len(data), 0
        unpack, limit = PREFIX.unpack_from, self._max_message_bytes
        taken: list[bytes] = []
        while size - start >= PREFIX_BYTES:
            compressed, length = unpack(data, start)
            if compressed or length > limit:
                if not taken:
                    raise self._refusal(compressed, length)
                break
            stop = start + PREFIX_BYTES + length
            if stop > size:
                break
            taken.append(data[start + PREFIX_BYTES : stop])
            start = stop
        self._drop(start)
        return taken

    def framed(self) -> Framed:
        """Take all whole messages as they came, joined. Raises like :meth:`messages`."""
        buffer = self._buffer
        size, start, count = len(buffer), 0, 0
        unpack, limit = PREFIX.unpack_from, self._max_message_bytes
        while size - start >= PREFIX_BYTES:
            compressed, length = unpack(buffer, start)
            if compressed or length > limit:
                if not count:
                    raise self._refusal(compressed, length)
                break
            stop = start + PREFIX_BYTES + length
            if stop > size:
                break
            start, count = stop, count + 1
        data = bytes(memoryview(buffer)[:start])
        self._drop(start)
        return Framed(data, count)

    def one_message(self) -> bytes:
        """Take the first message, which must be :attr:`ready`. Raises like :meth:`messages`."""
        compressed, length = PREFIX.unpack_from(self._buffer)
        if compressed or length > self._max_message_bytes:
            raise self._refusal(compressed, length)
        stop = PREFIX_BYTES + length
        message = bytes(memoryview(self._buffer)[PREFIX_BYTES:stop])
        self._drop(stop)
        return message

    def _drop(self, size_bytes: int) -> None:
        del self._buffer[:size_bytes]
        self._need_bytes = PREFIX_BYTES

    def _refusal(self, compressed: int, length: int) -> RpcError:
        """Return the error, in grpc-go's words, for a prefix that is not acceptable."""
        if not compressed:
            limit = self._max_message_bytes
            text = f"grpc: received message larger than max ({length} vs. {limit})"
            return RpcError(Code.RESOURCE_EXHAUSTED, text)
        if compressed == 1 and self.encoding != "identity":
            text = f'grpc: Decompressor is not installed for grpc-encoding "{self.encoding}"'
            return RpcError(Code.UNIMPLEMENTED, text)
        text = f"grpc: compressed flag {compressed} set with identity or empty encoding"
        return RpcError(Code.INTERNAL, text)
