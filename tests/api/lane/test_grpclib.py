"""grpclib, a second independent peer, both ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpclib.client
import grpclib.const
import grpclib.exceptions
import grpclib.server
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from grpclib import GRPCError, Status

from api.lane.client import Channel
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.lane.conftest import Bed, Serve

UNARY, UP, DOWN, BOTH = (
    grpclib.const.Cardinality.UNARY_UNARY,
    grpclib.const.Cardinality.STREAM_UNARY,
    grpclib.const.Cardinality.UNARY_STREAM,
    grpclib.const.Cardinality.STREAM_STREAM,
)


class RawCodec:
    """Passes bytes through."""

    __content_subtype__ = "proto"  # any other must be named in the answer

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


# Our server, their client.


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[grpclib.client.Channel]:
    _, address = await serve()
    host, _, port = address.rpartition(":")
    channel = grpclib.client.Channel(host, int(port), codec=RawCodec())  # type: ignore[arg-type]  # bytes
    yield channel
    channel.close()


def method(kind: Any, channel: grpclib.client.Channel, name: str) -> Any:  # noqa: ANN401 - untyped
    return kind(channel, f"/test.Lane/{name}", bytes, bytes)


async def test_their_unary(client: grpclib.client.Channel) -> None:
    echo = method(grpclib.client.UnaryUnaryMethod, client, "Echo")
    assert [await echo(data) for data in (b"", b"a", bytes(300_000))] == [b"", b"a", bytes(300_000)]


async def test_their_server_stream(client: grpclib.client.Channel) -> None:
    count = method(grpclib.client.UnaryStreamMethod, client, "Count")
    async with count.open() as stream:
        await stream.send_message(b"5000", end=True)
        numbers = [int.from_bytes(message[:4], "big") async for message in stream]
    assert numbers == list(range(5000))


async def test_their_bidirectional_call(client: grpclib.client.Channel) -> None:
    each = method(grpclib.client.StreamStreamMethod, client, "EchoEach")
    async with each.open() as stream:
        for word in (b"one", b"two"):
            await stream.send_message(word)
            assert await stream.recv_message() == word
        await stream.end()
        assert await stream.recv_message() is None


async def test_their_metadata(client: grpclib.client.Channel) -> None:
    told = method(grpclib.client.UnaryUnaryMethod, client, "Metadata")
    async with told.open(metadata=[("k", "v"), ("raw-bin", b"\x00\xff")]) as stream:
        await stream.send_message(b"", end=True)
        await stream.recv_initial_metadata()
        assert stream.initial_metadata.getall("first") == ["1", "2"]
        assert stream.initial_metadata["raw-bin"] == b"\x00\xff"
        assert b"('k', 'v')" in (answer := await stream.recv_message())
        assert b"('raw-bin', b'\\x00\\xff')" in answer
        await stream.recv_trailing_metadata()
        assert stream.trailing_metadata["last"] == "z"


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("Fail", Status.NOT_FOUND, "nö such → thing\n100%"),
        ("Crash", Status.UNKNOWN, "internal error"),
        ("Nope", Status.UNIMPLEMENTED, "unknown method Nope for service test.Lane"),
    ],
)
async def test_their_errors(
    client: grpclib.client.Channel, name: str, status: Status, message: str
) -> None:
    with pytest.raises(GRPCError) as caught:
        await method(grpclib.client.UnaryUnaryMethod, client, name)(b"")
    assert (caught.value.status, caught.value.message) == (status, message)


async def test_their_deadline_and_cancel(client: grpclib.client.Channel, bed: Bed) -> None:
    with pytest.raises((asyncio.TimeoutError, GRPCError)):
        await method(grpclib.client.UnaryUnaryMethod, client, "Sleep")(b"", timeout=0.1)
    await asyncio.wait_for(bed.stopped.wait(), 5)
    bed.stopped.clear()
    endless = method(grpclib.client.UnaryStreamMethod, client, "Endless")
    async with endless.open() as stream:
        await stream.send_message(b"", end=True)
        assert await stream.recv_message() == bytes(1000)
        await stream.cancel()
    await asyncio.wait_for(bed.stopped.wait(), 5)


# Their server, our client.


class Service:
    """The peer's methods."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        handlers = {
            "Echo": (self.echo, UNARY),
            "EchoEach": (self.echo_each, BOTH),
            "Join": (self.join, UP),
            "Count": (self.count, DOWN),
            "Fail": (self.fail, UNARY),
            "Sleep": (self.sleep, UNARY),
        }
        return {
            f"/test.Peer/{name}": grpclib.const.Handler(function, kind, BytesValue, BytesValue)
            for name, (function, kind) in handlers.items()
        }

    async def echo(self, stream: Any) -> None:  # noqa: ANN401 - generic without need
        request = await stream.recv_message()
        await stream.send_initial_metadata(metadata={"seen": stream.metadata.get("k", "")})
        await stream.send_message(request)
        await stream.send_trailing_metadata(metadata={"raw-bin": b"\xff"})

    async def echo_each(self, stream: Any) -> None:  # noqa: ANN401
        async for request in stream:
            await stream.send_message(request)

    async def join(self, stream: Any) -> None:  # noqa: ANN401
        words = [request.value async for request in stream]
        await stream.send_message(BytesValue(value=b" ".join(words)))

    async def count(self, stream: Any) -> None:  # noqa: ANN401
        request = await stream.recv_message()
        for number in range(int(request.value)):
            await stream.send_message(BytesValue(value=b"%d" % number))

    async def fail(self, stream: Any) -> None:  # noqa: ANN401
        raise GRPCError(Status.NOT_FOUND, "nö such → thing\n100%")

    async def sleep(self, stream: Any) -> None:  # noqa: ANN401
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[Channel]:
    server = grpclib.server.Server([service])
    await server.start("127.0.0.1", 0)
    sockets: Any = server._server
    channel = Channel(f"127.0.0.1:{sockets.sockets[0].getsockname()[1]}")
    yield channel
    # Ours first: its server waits for clients that stay.
    await channel.close()
    server.close()
    await asyncio.wait_for(server.wait_closed(), 10)


async def test_our_unary(channel: Channel) -> None:
    sent = BytesValue(value=bytes(300_000))
    reply = await channel.unary_reply(
        "/test.Peer/Echo", sent, BytesValue, timeout_s=10, metadata=(("k", "v"),)
    )
    assert reply.message == sent
    assert ("seen", "v") in reply.initial_metadata
    assert ("raw-bin", b"\xff") in reply.trailing_metadata


async def test_our_server_stream(channel: Channel) -> None:
    request = BytesValue(value=b"3000")
    numbers: list[int] = []
    async with channel.server_stream("/test.Peer/Count", request, timeout_s=30) as call:
        async for batch in call.batches():
            numbers += [int(BytesValue.FromString(message).value) for message in batch]
    assert numbers == list(range(3000))


async def test_our_client_stream(channel: Channel) -> None:
    async def words() -> AsyncIterator[BytesValue]:
        for word in (b"a", b"b", b"c"):
            yield BytesValue(value=word)

    answer = await channel.client_stream("/test.Peer/Join", words(), BytesValue, timeout_s=10)
    assert answer.value == b"a b c"


async def test_our_bidirectional_call(channel: Channel) -> None:
    async with channel.talk("/test.Peer/EchoEach", timeout_s=10) as call:
        batches = call.batches()
        for word in (b"one", b"two"):
            await call.send(BytesValue(value=word))
            assert await anext(batches) == [BytesValue(value=word).SerializeToString()]
        call.end_requests()
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("Fail", Code.NOT_FOUND, "nö such → thing\n100%"),
        ("Nope", Code.UNIMPLEMENTED, "Method not found"),
    ],
)
async def test_our_errors(channel: Channel, name: str, code: Code, message: str) -> None:
    with pytest.raises(RpcError) as caught:
        await channel.unary(f"/test.Peer/{name}", StringValue(), StringValue, timeout_s=10)
    assert (caught.value.code, caught.value.message) == (code, message)


async def test_our_cancel(channel: Channel, service: Service) -> None:
    async with channel.server_stream("/test.Peer/Sleep", b""):
        await asyncio.wait_for(service.started.wait(), 5)
    await asyncio.wait_for(service.stopped.wait(), 5)
