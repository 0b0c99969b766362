"""Frames that only look right: whatever comes, a server connection serves it or ends it."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from api.lane.dial import ClientConnection
from api.lane.limits import SERVER_LIMITS
from api.lane.outcome import status_of
from api.lane.server import Call, Server
from api.lane.serving import ServerConnection
from api.lane.stream import Stream
from api.lane.wire import PREFACE, Framed, frame, frame_head

if TYPE_CHECKING:
    from api.lane.conn import Connection

NAMES = [
    b":method", b":path", b":scheme", b":authority", b":status", b"te", b"content-type",
    b"content-length", b"grpc-timeout", b"grpc-encoding", b"grpc-status", b"grpc-message",
    b"x-bin", b"cookie", b"connection", b"host", b"",
]  # fmt: skip
VALUES = [
    b"POST", b"/a.B/C", b"http", b"x", b"200", b"103", b"trailers", b"application/grpc", b"0", b"7",
    b"-1", b"99999999999", b"1S", b"0n", b"gzip", b"%zz%ff", b"!!", b"\xff\x00", b"",
]  # fmt: skip
REQUEST = list(zip(NAMES[:4] + NAMES[5:7], VALUES[:4] + VALUES[6:8], strict=True))
ANSWER = [(b":status", b"200"), (b"content-type", b"application/grpc")]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)


class Transport(asyncio.Transport):
    """A transport that goes nowhere and keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += len(data)

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def http2(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload


STREAM_IDS = st.sampled_from([0, 1, 1, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1])
ANY = st.builds(http2, st.integers(0, 12), st.integers(0, 255), STREAM_IDS, st.binary(max_size=20))
NUMBERS = st.builds(
    lambda kind, stream_id, number: http2(kind, 0, stream_id, struct.pack(">I", number)),
    st.sampled_from([3, 8]),
    STREAM_IDS,
    st.sampled_from([0, 1, 8, 2**31 - 1, 2**32 - 1]),
)
SETTINGS = st.builds(
    lambda key, value: http2(4, 0, 0, struct.pack(">HI", key, value)),
    st.integers(0, 9),
    st.sampled_from([0, 1, 65_535, 2**31 - 1, 2**32 - 1]),
)
MESSAGES = st.builds(
    lambda flags, stream_id, body: http2(0, flags, stream_id, body),
    st.sampled_from([0, 1, 8, 9]),
    STREAM_IDS,
    st.one_of(st.binary(max_size=30), st.binary(max_size=9).map(frame)),
)


@st.composite
def wires(draw: st.DrawFn, known: list[tuple[bytes, bytes]]) -> bytes:
    """Return frames of one connection; header blocks share one HPACK table, as they must."""
    encoder = hpack.Encoder()
    found = [http2(4, 0, 0, b"")]
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            extra = draw(FIELDS)
            block = encoder.encode((known if draw(st.booleans()) else []) + extra)
            flags = draw(st.sampled_from([0, 4, 4, 4, 5, 0x24]))
            found.append(http2(1, flags, draw(STREAM_IDS), block))
        else:
            found.append(draw(st.one_of(ANY, NUMBERS, SETTINGS, MESSAGES)))
    return b"".join(found)


async def feed(connection: Connection, data: bytes) -> Transport:
    """Give a connection bytes in two reads, let its calls run, and lose the socket."""
    transport = Transport()
    connection.connection_made(transport)
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        connection.data_received(part)
        for _ in range(5):
            await asyncio.sleep(0)
    connection.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    return transport


async def echo(call: Call) -> None:
    while (request := await call.receive()) is not None:
        await call.send(Framed(frame(request), 1))


@settings(max_examples=300, deadline=None)
@given(wires(REQUEST))
def test_servers(data: bytes) -> None:
    async def run() -> None:
        server = Server({"/a.B/C": echo})
        connection = ServerConnection(server, lambda _: None)
        transport = await feed(connection, PREFACE + data)
        statistics = server.statistics()
        assert (statistics.connections_open, len(connection.streams)) == (0, 0)
        assert transport.ended
        assert transport.written < 4096 + 8 * len(data)

    asyncio.run(run(), debug=False)


@settings(max_examples=300, deadline=None)
@given(wires(ANSWER))
def test_clients(data: bytes) -> None:
    async def run() -> None:
        connection = ClientConnection(SERVER_LIMITS)
        connection.on_ready()
        stream = Stream(connection, 1)
        connection.streams[1] = stream

        def ask(_: object = None) -> None:
            connection.send_headers(1, REQUEST, end=True)

        connection._transport = Transport()
        ask()
        transport = await feed(connection, data)
        assert transport.ended
        assert stream.error is not None or stream.ended
        status_of(stream.headers or [], stream.trailers)

    asyncio.run(run(), debug=False)
