"""Calls in which the client says more than one message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.server import Call, Server
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.api.lane.conftest import Bed, Serve

EACH = "/test.Lane/EchoEach"


@pytest.fixture
async def channel(serve: Serve) -> AsyncIterator[Channel]:
    _, address = await serve()
    channel = Channel(address)
    yield channel
    await channel.close()


async def read_all(batches: AsyncIterator[list[bytes]]) -> list[bytes]:
    return [message async for batch in batches for message in batch]


async def test_question_and_answer_in_turn(channel: Channel) -> None:
    async with asyncio.timeout(10), channel.talk(EACH) as call:
        batches = call.batches()
        for word in (b"one", b"", b"three" * 10_000):
            assert await call.send(word)
            assert await anext(batches) == [word]
        call.end_requests()
        assert await read_all(batches) == []


async def test_messages_and_batches_are_sent_alike(channel: Channel) -> None:
    async with asyncio.timeout(10), channel.talk(EACH) as call:
        assert await call.send(BytesValue(value=b"a"))
        assert await call.send(Framed(frame(b"b") + frame(b"c"), 2))
        call.end_requests()
        sent = BytesValue(value=b"a").SerializeToString()
        assert await read_all(call.batches()) == [sent, b"b", b"c"]
        with pytest.raises(ValueError, match="the requests of this call have ended"):
            await call.send(b"d")


async def test_both_ways_at_once_beyond_all_windows(channel: Channel) -> None:
    batch = Framed(frame(bytes(1000)) * 100, 100)

    async def say() -> None:
        for _ in range(200):
            assert await call.send(batch)
        call.end_requests()

    async with asyncio.timeout(60), channel.talk(EACH) as call, asyncio.TaskGroup() as group:
        group.create_task(say())
        count = 0
        async for messages in call.batches():
            count += len(messages)
    assert count == 20_000


async def test_a_server_that_has_heard_enough(channel: Channel) -> None:
    """Fail answers without reading; its status is for who reads, and sending just stops."""
    async with asyncio.timeout(10), channel.talk("/test.Lane/Fail") as call:
        while await call.send(bytes(100_000)):
            pass
        call.end_requests()
        with pytest.raises(RpcError) as caught:
            await anext(call.batches())
        assert caught.value.code is Code.NOT_FOUND


async def test_a_writer_that_waits_for_window_is_freed_by_the_answer(bed: Bed) -> None:
    async def late(call: Call) -> None:
        await enough.wait()

    enough = asyncio.Event()
    server = Server({"/a.B/Late": late}, limits=Limits(stream_window_bytes=1000))
    channel = Channel(await server.listen("127.0.0.1:0"))
    async with (
        asyncio.timeout(10),
        channel.talk("/a.B/Late") as call,
        asyncio.TaskGroup() as group,
    ):
        sending = group.create_task(call.send(bytes(1_000_000)))
        await call_has_stalled(channel)
        enough.set()
        assert await read_all(call.batches()) == []
        assert not await sending
    await channel.close()
    await server.stop(0)


async def call_has_stalled(channel: Channel) -> None:
    (connection,) = channel._connector._connections
    (stream_id,) = connection.streams
    while connection.send_room(stream_id):  # noqa: ASYNC110 - there is no event for a full window
        await asyncio.sleep(0.001)


async def test_leaving_cancels_the_handler(channel: Channel, bed: Bed) -> None:
    async with channel.talk("/test.Lane/Sleep") as call:
        assert await call.send(b"")
        await asyncio.wait_for(bed.started.wait(), 5)
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_the_deadline_ends_reading_and_writing(channel: Channel) -> None:
    async with channel.talk("/test.Lane/Sleep", timeout_s=0.05) as call:
        with pytest.raises(RpcError) as caught:
            await anext(call.batches())
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert not await call.send(b"late")


async def test_client_stream(channel: Channel) -> None:
    async def words() -> AsyncIterator[StringValue | bytes]:
        yield StringValue(value="all")

    answer = await channel.client_stream(EACH, words(), StringValue, timeout_s=10)
    assert answer.value == "all"


async def test_a_client_stream_whose_answer_comes_first(channel: Channel) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b""
            await asyncio.sleep(0)

    answer = await channel.client_stream("/test.Lane/Echo", endless(), BytesValue, timeout_s=10)
    assert answer == BytesValue()
    with pytest.raises(RpcError, match="NotFound"):
        await channel.client_stream("/test.Lane/Fail", endless(), BytesValue, timeout_s=10)


async def test_a_client_stream_whose_requests_fail(channel: Channel, bed: Bed) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        await bed.started.wait()
        raise LookupError("no more words")

    with pytest.raises(LookupError, match="no more words"):
        await channel.client_stream("/test.Lane/Sleep", broken(), BytesValue, timeout_s=10)
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_a_client_stream_with_two_answers(channel: Channel) -> None:
    async def two() -> AsyncIterator[bytes]:
        yield b""
        yield b""

    with pytest.raises(RpcError, match="expected one response message, got 2"):
        await channel.client_stream(EACH, two(), BytesValue, timeout_s=10)
