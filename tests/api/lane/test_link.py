"""Sockets whose reads hold more than a turn's work: all is done, unless its sender is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import hpack

from api.lane.client import Channel
from api.lane.dial import ClientConnection
from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.stream import Stream
from api.lane.wire import frame, frame_head
from bench.hostile import ALL_WINDOW, HELLO, WIDE, request
from tests.api.lane.test_fuzz import Transport

if TYPE_CHECKING:
    import pytest

    from api.lane.server import Server
    from api.lane.serving import ServerConnection
    from tests.api.lane.conftest import Bed, Serve

# Each look at the clock ends a turn.
SHORT = Limits(turn_s=0.0, close_s=0.2, max_streams=1000)
CALLS = 200
WIRE = HELLO + b"".join(
    request(2 * number + 1, "/test.Lane/Echo", frame(b"hello")) for number in range(CALLS)
)


async def test_all_that_one_read_brings_is_done(serve: Serve, bed: Bed) -> None:
    server, address = await serve(limits=SHORT)
    reader, writer = await connect(address)
    writer.write(WIRE)
    answers = b""
    while answers.count(frame(b"hello")) < CALLS:
        answers += await asyncio.wait_for(reader.read(1 << 16), 10)
    # Reading goes on afterwards.
    writer.write(request(2 * CALLS + 1, "/test.Lane/Echo", frame(b"again")))
    while frame(b"again") not in answers:
        answers += await asyncio.wait_for(reader.read(1 << 16), 10)
    assert len(bed.calls) == server.statistics().calls_total == CALLS + 1
    writer.close()
    await writer.wait_closed()


async def test_what_is_left_of_a_client_that_hung_up_is_dropped(serve: Serve) -> None:
    server, address = await serve(limits=SHORT)
    _, writer = await connect(address)
    writer.write(WIRE)
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(all_gone(server), 10)
    assert server.statistics().calls_total < CALLS // 10


async def test_writes_in_parts_wait_for_a_slow_reader(serve: Serve, bed: Bed) -> None:
    """uvloop takes the parts as they are: it must say as early as ever that it has enough."""
    server, address = await serve()
    _, writer = await connect(address)
    cast("asyncio.Transport", writer.transport).pause_reading()
    writer.write(WIDE + ALL_WINDOW + request(1, "/test.Lane/Endless"))
    await asyncio.wait_for(bed.started.wait(), 10)
    (connection,) = server.connections
    await asyncio.wait_for(until_paused(connection), 10)
    limits = connection.limits
    most = limits.write_high_bytes + limits.write_chunk_bytes + (1 << 16)
    assert connection._transport.get_write_buffer_size() <= most
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_who_finds_the_queue_full_has_to_go(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.lane.turns.MOST_WAITING", 0)
    server, address = await serve(limits=SHORT)
    reader, writer = await connect(address)
    writer.write(WIRE)
    await asyncio.wait_for(asyncio.gather(reader.read(), return_exceptions=True), 10)
    assert server.statistics().refused == {Refusal.OVERLOAD: 1}
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_client_takes_long_answers_in_turns(serve: Serve) -> None:
    _, address = await serve()
    channel = Channel(address, limits=SHORT)
    async with channel.server_stream("/test.Lane/Count", b"20000", timeout_s=20) as call:
        messages = [message async for batch in call.batches() for message in batch]
    assert [int.from_bytes(message[:4], "big") for message in messages] == list(range(20_000))
    await channel.close()


async def test_a_lost_socket_ends_no_answer_that_is_here() -> None:
    connection = ClientConnection(SHORT)
    connection.connection_made(Transport())
    encoder = hpack.Encoder()
    connection.send_headers(1, [(b":method", b"POST"), (b":path", b"/t.T/T")], end=True)
    stream = Stream(connection, 1)
    connection.streams[1] = stream
    connection.data_received(
        http2(4, 0, 0, b"")
        + http2(1, 4, 1, encoder.encode([(":status", "200")]))
        + http2(0, 0, 1, frame(b"message")) * 300
        + http2(1, 5, 1, encoder.encode([("grpc-status", "0")]))
    )
    assert not stream.ended
    connection.connection_lost(ConnectionResetError("gone"))
    assert (stream.ended, stream.error) == (True, None)
    assert await stream.receive()
    assert len(stream.messages()) == 300


async def until_paused(connection: ServerConnection) -> None:
    """Wait until a transport has taken as much as it wants."""
    while not connection._paused:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)


async def all_gone(server: Server) -> None:
    """Wait until somebody was here and nobody is left."""
    while not (server.counters.connections and not server.connections):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def http2(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload
