"""Our client against grpcio, an independent server."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STARTED = threading.Event()
STOPPED = threading.Event()


class Servicer(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in stubs only
    """The peer's methods; requests and answers are bytes."""

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        name = details.method.rpartition("/")[2]
        if name in ("Echo", "Fail", "Metadata", "Sleep"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, name.lower()))
        if name in ("Count", "FailLate", "Endless", "Two"):
            return grpc.unary_stream_rpc_method_handler(getattr(self, name.lower()))
        return None

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return request

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("why-bin", b"\xff\x00"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "nö such → thing\n100%")
        raise AssertionError

    def metadata(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("first", "1"), ("first", "2"), ("raw-bin", b"\x00\xff")))
        context.set_trailing_metadata((("last", "z"), ("raw-bin", b"\x01")))
        pairs = [tuple(pair) for pair in context.invocation_metadata()]
        told = sorted(pair for pair in pairs if pair[0] != "user-agent")
        return StringValue(value=repr(told)).SerializeToString()

    def sleep(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(STOPPED.set)
        STARTED.set()
        STOPPED.wait(10)
        return b""

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield number.to_bytes(4, "big")

    def faillate(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "half")

    def two(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b""
        yield b""

    def endless(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(STOPPED.set)
        while context.is_active():
            yield bytes(10_000)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = grpc.server(
        ThreadPoolExecutor(8),
        handlers=[Servicer()],
        options=[("grpc.max_receive_message_length", -1)],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.fixture
async def channel(address: str) -> AsyncIterator[Channel]:
    STARTED.clear()
    STOPPED.clear()
    channel = Channel(address, metadata=(("every", "call"),))
    yield channel
    await channel.close()


async def test_unary(channel: Channel) -> None:
    for size in (0, 1, 3 << 20):
        sent = BytesValue(value=bytes(size))
        assert await channel.unary("/t.T/Echo", sent, BytesValue) == sent


async def test_metadata(channel: Channel) -> None:
    sent = (("k", "v"), ("k", "w"), ("a-bin", b"\x00\xff"))
    reply = await channel.unary_reply("/t.T/Metadata", BytesValue(), StringValue, metadata=sent)
    assert reply.message.value == repr(sorted((*sent, ("every", "call"))))
    assert reply.initial_metadata == (("first", "1"), ("first", "2"), ("raw-bin", b"\x00\xff"))
    assert reply.trailing_metadata == (("last", "z"), ("raw-bin", b"\x01"))


async def test_20k_messages_in_order(channel: Channel) -> None:
    numbers: list[int] = []
    async with channel.server_stream("/t.T/Count", b"20000") as answer:
        async for batch in answer.batches():
            assert batch
            numbers += [int.from_bytes(message, "big") for message in batch]
    assert numbers == list(range(20_000))


async def test_frames_hold_the_same(channel: Channel) -> None:
    data, count = b"", 0
    async with channel.server_stream("/t.T/Count", b"5000") as answer:
        async for batch in answer.frames():
            data, count = data + batch.data, count + batch.count
    assert count == 5000
    assert data == b"".join(b"\0\0\0\0\4" + number.to_bytes(4, "big") for number in range(5000))


async def test_errors(channel: Channel) -> None:
    with pytest.raises(RpcError) as caught:
        await channel.unary("/t.T/Fail", BytesValue(), BytesValue)
    assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, "nö such → thing\n100%")
    assert caught.value.trailing == (("why-bin", b"\xff\x00"),)
    with pytest.raises(RpcError, match=r"code = Unimplemented desc = Method not found!"):
        await channel.unary("/t.T/Nope", BytesValue(), BytesValue)
    with pytest.raises(RpcError, match="expected one response message, got 2"):
        await channel.unary("/t.T/Two", BytesValue(), BytesValue)


async def test_error_after_messages(channel: Channel) -> None:
    async with channel.server_stream("/t.T/FailLate", b"") as answer:
        batches = answer.batches()
        assert await anext(batches) == [b"one"]
        with pytest.raises(RpcError, match="code = DataLoss desc = half"):
            await anext(batches)


async def test_deadline(channel: Channel) -> None:
    with pytest.raises(RpcError) as caught:
        await channel.unary("/t.T/Sleep", BytesValue(), BytesValue, timeout_s=0.2)
    assert str(caught.value) == (
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    )
    assert await asyncio.to_thread(STOPPED.wait, 5)


async def test_leaving_cancels(channel: Channel) -> None:
    async with channel.server_stream("/t.T/Endless", b"") as answer:
        async for _ in answer.batches():
            break
    assert await asyncio.to_thread(STOPPED.wait, 5)
    # The connection goes on, its window not eaten by what nobody read.
    for _ in range(3):
        await channel.unary("/t.T/Echo", BytesValue(value=bytes(1 << 20)), BytesValue)


async def test_cancelling_the_caller_cancels_the_call(channel: Channel) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(channel.unary("/t.T/Sleep", BytesValue(), BytesValue))
        assert await asyncio.to_thread(STARTED.wait, 5)
        task.cancel()
    assert task.cancelled()
    assert await asyncio.to_thread(STOPPED.wait, 5)
    assert await channel.unary("/t.T/Echo", BytesValue(), BytesValue) == BytesValue()


async def test_message_limit(address: str) -> None:
    limits = Limits(max_message_bytes=1 << 20, stream_window_bytes=1 << 16)
    channel = Channel(address, limits=limits)
    # The field's tag and length take 4 bytes of the message.
    fits = BytesValue(value=bytes((1 << 20) - 4))
    assert await channel.unary("/t.T/Echo", fits, BytesValue) == fits
    with pytest.raises(RpcError, match=r"larger than max \(1048577 vs. 1048576\)") as caught:
        await channel.unary("/t.T/Echo", BytesValue(value=bytes((1 << 20) - 3)), BytesValue)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    await channel.close()


async def test_many_calls_at_once(channel: Channel) -> None:
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(
                channel.unary("/t.T/Echo", BytesValue(value=b"%d" % number), BytesValue)
            )
            for number in range(300)
        ]
    assert [call.result().value for call in calls] == [b"%d" % number for number in range(300)]
