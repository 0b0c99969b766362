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
from collections import deque
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

# Payloads below this are gathered; most in one answer of `framed`, which stays under malloc's mmap
# threshold with it: fresh pages for each batch cost more than the copy.
_TINY_BYTES = 1024
_FRAMED_BYTES = 65_536


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
    """Collects the payloads of DATA frames and gives back whole messages.

    Payloads are kept as they come, so that most messages are cut straight out of one, and only
    those that span frames are joined. Tiny payloads are gathered, or their objects would weigh
    more than their bytes. Holds at most one incomplete message beyond what the HTTP/2 window lets
    in; one that announces more than ``max_message_bytes`` is refused before it arrives.
    """

    __slots__ = ("_max_message_bytes", "_need_bytes", "_pieces", "_size_bytes", "encoding")

    def __init__(self, max_message_bytes: int) -> None:
        self.encoding = "identity"
        self._max_message_bytes = max_message_bytes
        self._pieces: deque[bytes | bytearray] = deque()
        self._size_bytes = 0
        # Bytes of the first message with its prefix; only the prefix while that is not complete.
        self._need_bytes = PREFIX_BYTES

    @property
    def ready(self) -> bool:
        """Whether there is something to take: a whole message, or an error about one."""
        if self._size_bytes < self._need_bytes:
            return False
        if self._need_bytes == PREFIX_BYTES:
            compressed, length = self._first_prefix()
            if not compressed and length <= self._max_message_bytes:
                self._need_bytes = PREFIX_BYTES + length
        return self._size_bytes >= self._need_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes held; at the end of a stream they are a truncated message."""
        return self._size_bytes

    def push(self, payload: bytes) -> None:
        """Add the payload of a frame."""
        self._size_bytes += len(payload)
        if len(payload) >= _TINY_BYTES:
            self._pieces.append(payload)
            return
        last = self._pieces[-1] if self._pieces else b""
        if isinstance(last, bytearray) and len(last) < MAX_FRAME_BYTES:
            last += payload
        else:
            self._pieces.append(bytearray(payload))

    def messages(self) -> list[bytes]:
        """Take all whole messages; those before a bad one first.

        Raises:
            RpcError: the first message is too large (RESOURCE_EXHAUSTED) or compressed
                (UNIMPLEMENTED).
        """
        unpack, limit = PREFIX.unpack_from, self._max_message_bytes
        taken: list[bytes] = []
        while self.ready:
            piece = self._take_first()
            size, start = len(piece), 0
            while size - start >= PREFIX_BYTES:
                compressed, length = unpack(piece, start)
                if compressed or length > limit:
                    self._put_back(piece, start)
                    if taken:
                        return taken
                    raise self._refusal(compressed, length)
                stop = start + PREFIX_BYTES + length
                if stop > size:
                    break
                taken.append(piece[start + PREFIX_BYTES : stop])
                start = stop
            self._put_back(piece, start)
        return taken

    def framed(self) -> Framed:
        """Take whole messages as they came, joined, about 64 KiB. Raises like :meth:`messages`."""
        parts: list[memoryview] = []
        size_bytes, count = 0, 0
        while size_bytes < _FRAMED_BYTES and self.ready:
            piece = self._take_first()
            stop, found = self._walk(piece)
            self._put_back(piece, stop)
            if not found:
                if count:
                    break
                raise self._refusal(*PREFIX.unpack_from(piece))
            parts.append(memoryview(piece)[:stop])
            size_bytes, count = size_bytes + stop, count + found
        return Framed(b"".join(parts), count)

    def one_message(self) -> bytes:
        """Take the first message, which must be :attr:`ready`. Raises like :meth:`messages`."""
        piece = self._take_first()
        compressed, length = PREFIX.unpack_from(piece)
        if compressed or length > self._max_message_bytes:
            raise self._refusal(compressed, length)
        stop = PREFIX_BYTES + length
        self._put_back(piece, stop)
        return piece[PREFIX_BYTES:stop]

    def _first_prefix(self) -> tuple[int, int]:
        """Return the compressed flag and length of the first message; its prefix must be there."""
        if len(self._pieces[0]) < PREFIX_BYTES:
            self._put_back(self._take_first(), 0)
        compressed, length = PREFIX.unpack_from(self._pieces[0])
        return compressed, length

    def _take_first(self) -> bytes:
        """Remove and return the pieces with the first ``_need_bytes`` bytes, joined."""
        parts = [self._pieces.popleft()]
        size = len(parts[0])
        while size < self._need_bytes:
            parts.append(self._pieces.popleft())
            size += len(parts[-1])
        self._size_bytes -= size
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _put_back(self, piece: bytes, start: int) -> None:
        """Put the rest of a piece back to the front."""
        if start < len(piece):
            self._pieces.appendleft(piece[start:] if start else piece)
            self._size_bytes += len(piece) - start
        self._need_bytes = PREFIX_BYTES

    def _walk(self, piece: bytes) -> tuple[int, int]:
        """Return where the whole and acceptable messages of a piece end, and their count."""
        unpack, limit = PREFIX.unpack_from, self._max_message_bytes
        size, start, count = len(piece), 0, 0
        while size - start >= PREFIX_BYTES:
            compressed, length = unpack(piece, start)
            stop = start + PREFIX_BYTES + length
            if compressed or length > limit or stop > size:
                break
            start, count = stop, count + 1
        return start, count

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
