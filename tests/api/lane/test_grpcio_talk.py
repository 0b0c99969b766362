"""Our client against grpcio where the client has more to say, and where the server moves us on."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    Handler = grpc.RpcMethodHandler[bytes, bytes]


class Servicer(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in stubs only
    """The peer's methods; requests and answers are bytes."""

    def service(self, details: grpc.HandlerCallDetails) -> Handler | None:
        match details.method:
            case "/t.T/Echo":
                return grpc.unary_unary_rpc_method_handler(lambda request, _: request)
            case "/t.T/Join":
                return grpc.stream_unary_rpc_method_handler(self.join)
            case "/t.T/EchoEach":
                return grpc.stream_stream_rpc_method_handler(self.echo_each)
            case "/t.T/Enough":
                return grpc.stream_unary_rpc_method_handler(self.enough)
            case "/t.T/Count":
                return grpc.unary_stream_rpc_method_handler(self.count)
            case _:
                return None

    def join(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        parts = [BytesValue.FromString(request).value for request in requests]
        return BytesValue(value=b"".join(parts)).SerializeToString()

    def echo_each(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        yield from requests

    def enough(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        next(requests)
        context.abort(grpc.StatusCode.OUT_OF_RANGE, "enough")
        raise AssertionError

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield number.to_bytes(4, "big")


def serve(*options: tuple[str, object]) -> tuple[grpc.Server, str]:
    server = grpc.server(ThreadPoolExecutor(20), handlers=[Servicer()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    server, address = serve()
    channel = Channel(address)
    yield channel
    await channel.close()
    server.stop(0).wait()


async def test_client_stream(channel: Channel) -> None:
    async def parts() -> AsyncIterator[BytesValue]:
        for number in range(1000):
            yield BytesValue(value=b"%03d" % number * 100)

    answer = await channel.client_stream("/t.T/Join", parts(), BytesValue, timeout_s=30)
    assert answer.value == b"".join(b"%03d" % number * 100 for number in range(1000))


async def test_bidirectional_call(channel: Channel) -> None:
    async with channel.talk("/t.T/EchoEach", timeout_s=30) as call:
        batches = call.batches()
        for number in range(100):
            assert await call.send(b"%d" % number)
            assert await anext(batches) == [b"%d" % number]
        call.end_requests()
        with pytest.raises(StopAsyncIteration):
            await anext(batches)


async def test_an_answer_before_the_last_request(channel: Channel) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    with pytest.raises(RpcError) as caught:
        await channel.client_stream("/t.T/Enough", endless(), BytesValue, timeout_s=30)
    assert (caught.value.code, caught.value.message) == (Code.OUT_OF_RANGE, "enough")


async def test_no_call_notices_a_server_that_moves_us_on() -> None:
    """grpcio sends GOAWAY to connections of 100 ms, and lets what has begun end."""
    server, address = serve(
        ("grpc.max_connection_age_ms", 100), ("grpc.max_connection_age_grace_ms", 20_000)
    )
    channel = Channel(address)
    failures: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    until = loop.time() + 1.0

    async def ask() -> None:
        while loop.time() < until:
            try:
                await channel.unary("/t.T/Echo", BytesValue(value=b"x"), BytesValue)
            except RpcError as error:
                failures[str(error)] += 1

    async def stream() -> None:
        async with channel.server_stream("/t.T/Count", b"5000") as call:
            assert sum([len(batch) async for batch in call.batches()]) == 5000

    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask())
        group.create_task(stream())
    assert failures == {}
    await channel.close()
    server.stop(0).wait()


async def test_grpcio_finds_our_keepalive_too_frequent() -> None:
    """It says so, and we ask half as often from then on."""
    server, address = serve(
        ("grpc.http2.min_ping_interval_without_data_ms", 60_000), ("grpc.http2.max_ping_strikes", 1)
    )
    channel = Channel(address, limits=Limits(keepalive_s=0.05, keepalive_timeout_s=0.05))
    async with channel.talk("/t.T/EchoEach", timeout_s=30) as call:
        await call.send(b"")
        batches = call.batches()
        assert await anext(batches) == [b""]
        with pytest.raises(RpcError):
            await anext(batches)
    await channel.unary("/t.T/Echo", BytesValue(), BytesValue, timeout_s=10)
    assert channel._connector._limits.keepalive_s == pytest.approx(0.1)
    await channel.close()
    server.stop(0).wait()
