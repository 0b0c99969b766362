"""A stream between a connection that only counts and the task of a call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from api.lane.limits import Limits
from api.lane.status import Code, RpcError
from api.lane.stream import Stream
from api.lane.wire import frame


@dataclass
class Owner:
    """A connection with as much room as the test says."""

    limits: Limits = field(default_factory=lambda: Limits(write_chunk_bytes=1000))
    room: int = 1 << 30
    written: bytearray = field(default_factory=bytearray)
    acknowledged: int = 0

    def send_room(self, stream_id: int) -> int:
        return min(self.room, self.limits.write_chunk_bytes)

    def write_data(self, stream_id: int, data: memoryview) -> None:
        assert 0 < len(data) <= self.room
        self.written += data
        self.room -= len(data)

    def acknowledge(self, stream_id: int, size_bytes: int) -> None:
        self.acknowledged += size_bytes


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def stream(owner: Owner) -> Stream:
    return Stream(owner, 1)


async def test_a_fast_reader_does_not_hold_the_loop(owner: Owner, stream: Stream) -> None:
    seen: list[int] = []

    async def other() -> None:
        for _ in range(5):
            seen.append(len(owner.written))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(stream.send(bytes(10_000)))
        group.create_task(other())
    assert seen == [1000, 2000, 3000, 4000, 5000]


async def test_small_batches_take_turns_too(owner: Owner, stream: Stream) -> None:
    async def follow() -> None:
        for _ in range(100):
            await stream.send(bytes(100))

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        assert len(owner.written) == 1000


async def test_sending_waits_for_room_and_goes_on(owner: Owner, stream: Stream) -> None:
    owner.room = 300
    data = bytes(range(256)) * 4
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(stream.send(data))
        for room in (0, 300, 500):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not sending.done()
            owner.room = room
            stream.may_write()
    assert owner.written == data


async def test_failing_wakes_the_writer_and_the_reader(owner: Owner, stream: Stream) -> None:
    owner.room = 0
    error = RpcError(Code.UNAVAILABLE, "gone")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(asyncio.wait_for(work, 5))
            for work in (catch(stream.send(b"x")), catch(stream.receive()))
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stream.fail(error)
        stream.fail(RpcError(Code.INTERNAL, "later"))
    assert [task.result() for task in tasks] == [error, error]


async def catch(work: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await work  # type: ignore[misc]  # any awaitable
    return caught.value


async def test_window_is_given_back_for_what_was_taken(owner: Owner, stream: Stream) -> None:
    payloads = [frame(bytes(16_379))] * 20
    stream.push(payloads)
    assert owner.acknowledged == 0
    assert await stream.receive()
    batch = stream.framed()
    assert owner.acknowledged == len(batch.data) < 100_000
    stream.one_message()
    assert owner.acknowledged == len(batch.data) + 16_384
    stream.discard()
    assert owner.acknowledged == 20 * 16_384
    stream.discard()
    assert owner.acknowledged == 20 * 16_384


async def test_half_a_message_is_acknowledged_while_waiting(owner: Owner, stream: Stream) -> None:
    message = frame(bytes(50_000))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(stream.receive())
        for start in range(0, len(message), 10_000):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            assert owner.acknowledged == start
            stream.push([message[start : start + 10_000]])
    assert waiting.result()
    assert stream.one_message() == bytes(50_000)
    assert owner.acknowledged == len(message)


async def test_what_arrived_is_given_before_the_end(stream: Stream) -> None:
    stream.push([frame(b"a") + frame(b"b") + b"\0\0"])
    stream.end()
    assert await stream.receive()
    assert stream.messages() == [b"a", b"b"]
    with pytest.raises(RpcError, match="unexpected EOF"):
        await stream.receive()


async def test_messages_before_a_failure_are_given_first(stream: Stream) -> None:
    stream.push([frame(b"a")])
    stream.fail(RpcError(Code.UNAVAILABLE, "gone"))
    assert await stream.receive()
    assert stream.one_message() == b"a"
    with pytest.raises(RpcError, match="gone"):
        await stream.receive()
