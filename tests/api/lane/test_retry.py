"""Calls that a server says it has not looked at: sent once more, without their caller noticing."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from typing import TYPE_CHECKING

import hpack
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.status import Code, RpcError
from api.lane.wire import PREFACE, frame, frame_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.api.lane.conftest import Bed, Serve

DATA, HEADERS, RST, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
REFUSED = struct.pack(">I", 7)


def http2(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload


class Visit:
    """One connection to the scripted server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.write = writer.write
        self.encoder = hpack.Encoder()
        self.requests: dict[int, bytes] = {}

    async def greet(self) -> None:
        assert await self.reader.readexactly(len(PREFACE)) == PREFACE
        self.write(http2(SETTINGS, 0, 0))

    async def frame(self) -> tuple[int, int, int]:
        """Read a frame; DATA is collected by stream."""
        head = await self.reader.readexactly(9)
        kind, flags, stream_id = struct.unpack(">BBI", head[3:])
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        if kind == DATA:
            self.requests[stream_id] = self.requests.get(stream_id, b"") + payload
        return kind, flags, stream_id

    async def request_ended(self) -> int:
        """Read up to the end of a request; return its stream."""
        while True:
            kind, flags, stream_id = await self.frame()
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return stream_id

    async def headers(self) -> int:
        """Read up to the next request's headers; return its stream."""
        while True:
            kind, _, stream_id = await self.frame()
            if kind == HEADERS:
                return stream_id

    def echo(self, stream_id: int) -> None:
        first = self.encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
        self.write(http2(HEADERS, END_HEADERS, stream_id, first))
        self.write(http2(DATA, 0, stream_id, self.requests.get(stream_id, b"")))
        self.end(stream_id, status="0")

    def end(self, stream_id: int, *, status: str) -> None:
        block = self.encoder.encode([("grpc-status", status)])
        self.write(http2(HEADERS, END_HEADERS | END_STREAM, stream_id, block))

    def goaway(self, last_stream_id: int, error_code: int = 0, debug: bytes = b"") -> None:
        self.write(http2(GOAWAY, 0, 0, struct.pack(">II", last_stream_id, error_code) + debug))

    async def wait_gone(self) -> None:
        await self.reader.read()


class Scripted:
    """A server that plays one script for each connection, in order, the last one for the rest."""

    def __init__(self, *scripts: Callable[[Visit], Awaitable[None]]) -> None:
        self.scripts = list(scripts)
        self.visits = 0

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.visits, len(self.scripts) - 1)]
        self.visits += 1
        try:
            visit = Visit(reader, writer)
            await visit.greet()
            await script(visit)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def stop(self) -> None:
        self.server.close()
        await asyncio.wait_for(self.server.wait_closed(), 5)


async def echoes(visit: Visit) -> None:
    while True:
        visit.echo(await visit.request_ended())


async def refuses(visit: Visit) -> None:
    while True:
        visit.write(http2(RST, 0, await visit.request_ended(), REFUSED))


async def goes_away(visit: Visit) -> None:
    await visit.request_ended()
    visit.goaway(0)
    await visit.wait_gone()


@pytest.mark.parametrize("first", [refuses, goes_away], ids=["refused stream", "goaway"])
async def test_a_call_is_sent_once_more(first: Callable[[Visit], Awaitable[None]]) -> None:
    async def refuses_once(visit: Visit) -> None:
        visit.write(http2(RST, 0, await visit.request_ended(), REFUSED))
        await echoes(visit)

    server = Scripted(refuses_once if first is refuses else first, echoes)
    channel = Channel(await server.start())
    sent = BytesValue(value=b"again")
    assert await channel.unary("/a.B/C", sent, BytesValue, timeout_s=10) == sent
    assert server.visits == (1 if first is refuses else 2)
    await channel.close()
    await server.stop()


async def test_not_a_third_time() -> None:
    server = Scripted(refuses)
    channel = Channel(await server.start())
    with pytest.raises(RpcError, match="REFUSED_STREAM") as caught:
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=10)
    assert caught.value.code is Code.UNAVAILABLE
    await channel.close()
    await server.stop()


async def test_a_server_that_always_leaves_is_given_up() -> None:
    async def leaves(visit: Visit) -> None:
        visit.goaway(0)
        await visit.wait_gone()

    server = Scripted(leaves)
    channel = Channel(await server.start())
    with pytest.raises(RpcError) as caught:
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=10)
    assert caught.value.code is Code.UNAVAILABLE
    assert server.visits <= 10
    await channel.close()
    await server.stop()


async def test_a_call_that_was_answered_in_part_is_not_sent_again() -> None:
    async def half(visit: Visit) -> None:
        stream_id = await visit.request_ended()
        first = visit.encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
        visit.write(http2(HEADERS, END_HEADERS, stream_id, first))
        visit.write(http2(RST, 0, stream_id, REFUSED))
        await visit.wait_gone()

    server = Scripted(half, echoes)
    channel = Channel(await server.start())
    with pytest.raises(RpcError, match="REFUSED_STREAM"):
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=10)
    assert server.visits == 1
    await channel.close()
    await server.stop()


async def test_a_lost_connection_is_not_the_servers_word() -> None:
    async def hangs_up(visit: Visit) -> None:
        await visit.request_ended()

    server = Scripted(hangs_up, echoes)
    channel = Channel(await server.start())
    with pytest.raises(RpcError, match="error reading from server"):
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=10)
    assert server.visits == 1
    await channel.close()
    await server.stop()


async def test_a_goaway_spares_the_calls_below_it() -> None:
    """Stream 1 is answered after the GOAWAY that leaves stream 3 out, which moves."""

    async def leaves(visit: Visit) -> None:
        first = await visit.request_ended()
        await visit.request_ended()
        visit.goaway(first)
        await moved.wait()
        visit.echo(first)
        await visit.wait_gone()

    moved = asyncio.Event()
    server = Scripted(leaves, echoes)
    channel = Channel(await server.start())
    async with asyncio.timeout(10), channel.server_stream("/a.B/C", b"stays") as first:
        async with channel.server_stream("/a.B/C", b"moves") as second:
            assert await anext(second.batches()) == [b"moves"]
        moved.set()
        assert await anext(first.batches()) == [b"stays"]
    assert server.visits == 2
    await channel.close()
    await server.stop()


@pytest.mark.parametrize("reading", [True, False])
async def test_what_was_said_is_said_again(reading: bool) -> None:
    async def listens_a_while(visit: Visit) -> None:
        await visit.headers()
        while len(visit.requests.get(1, b"")) < len(frame(b"one") + frame(b"two")):
            await visit.frame()
        visit.goaway(0)
        refused.set()
        await visit.wait_gone()

    refused = asyncio.Event()
    server = Scripted(listens_a_while, echoes)
    channel = Channel(await server.start())
    async with asyncio.timeout(10), channel.talk("/a.B/C") as call, asyncio.TaskGroup() as group:
        assert await call.send(b"one")
        assert await call.send(b"two")
        answer = group.create_task(read_all(call.batches())) if reading else None
        await refused.wait()
        assert await call.send(b"three")
        call.end_requests()
        got = await (answer or group.create_task(read_all(call.batches())))
    assert got == [b"one", b"two", b"three"]
    assert server.visits == 2
    await channel.close()
    await server.stop()


async def read_all(batches: AsyncIterator[list[bytes]]) -> list[bytes]:
    return [message async for batch in batches for message in batch]


async def test_more_than_can_be_kept_is_not_said_again() -> None:
    async def listens_a_while(visit: Visit) -> None:
        await visit.headers()
        while len(visit.requests.get(1, b"")) < 200:
            await visit.frame()
        visit.goaway(0)
        await visit.wait_gone()

    server = Scripted(listens_a_while, echoes)
    channel = Channel(await server.start(), limits=Limits(replay_bytes=100))
    async with asyncio.timeout(10), channel.talk("/a.B/C") as call:
        assert await call.send(bytes(200))
        with pytest.raises(RpcError, match="received GOAWAY"):
            await anext(call.batches())
        assert not await call.send(b"more")
    assert server.visits == 1
    await channel.close()
    await server.stop()


async def test_the_deadline_counts_through_the_second_attempt() -> None:
    async def silent(visit: Visit) -> None:
        await visit.wait_gone()

    server = Scripted(goes_away, silent)
    channel = Channel(await server.start())
    with pytest.raises(RpcError) as caught:
        await channel.unary("/a.B/C", BytesValue(), BytesValue, timeout_s=0.2)
    assert (caught.value.code, server.visits) == (Code.DEADLINE_EXCEEDED, 2)
    await channel.close()
    await server.stop()


async def test_calls_survive_short_lived_connections(serve: Serve, bed: Bed) -> None:
    """A server whose connections get 20 ms old, and a client that does not notice."""
    limits = Limits(max_connection_age_s=0.02)
    server, address = await serve(limits=limits)
    channel = Channel(address)
    failures: Counter[str] = Counter()

    async def ask(total: int) -> None:
        for number in range(total):
            sent = BytesValue(value=b"%d" % number)
            try:
                assert await channel.unary("/test.Lane/Echo", sent, BytesValue) == sent
            except RpcError as error:
                failures[str(error)] += 1

    async def stream() -> None:
        async with channel.server_stream("/test.Lane/Count", b"20000") as answer:
            assert len(await read_all(answer.batches())) == 20_000

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask(50))
            group.create_task(stream())
    assert failures == {}
    assert server.statistics().connections_total > 2
    await channel.close()
