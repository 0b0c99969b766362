"""Our client against our server: flow control, fairness, ends of every kind."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel, ResponseStream
from api.lane.limits import SERVER_LIMITS, Limits
from api.lane.status import Code, RpcError
from api.lane.wire import Deframer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Serve

ECHO = "/test.Lane/Echo"


@pytest.fixture
async def channel(serve: Serve) -> AsyncIterator[Channel]:
    _, address = await serve()
    channel = Channel(address)
    yield channel
    await channel.close()


async def echo(channel: Channel, size_bytes: int = 3) -> None:
    sent = BytesValue(value=bytes(size_bytes))
    assert await channel.unary(ECHO, sent, BytesValue, timeout_s=20) == sent


@pytest.mark.parametrize("window", [1, 300, 70_000, 4 << 20])
async def test_all_arrives_through_any_window(serve: Serve, window: int) -> None:
    limits = Limits(stream_window_bytes=window, connection_window_bytes=max(window, 65_535))
    count = 40 if window == 1 else 5_000
    _, address = await serve()
    channel = Channel(address, limits=limits)
    deframer = Deframer(1000)
    numbers: list[int] = []
    async with channel.server_stream("/test.Lane/Count", b"%d" % count) as answer:
        async for batch in answer.frames():
            deframer.push(batch.data)
            messages = deframer.messages()
            assert len(messages) == batch.count > 0
            numbers += [int.from_bytes(message[:4], "big") for message in messages]
    assert numbers == list(range(count))
    await channel.close()


async def test_requests_larger_than_every_window(serve: Serve) -> None:
    limits = replace(SERVER_LIMITS, stream_window_bytes=1000, connection_window_bytes=65_535)
    _, address = await serve(limits=limits)
    channel = Channel(address)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(echo(channel, 300_000))
    await channel.close()


async def test_metadata_of_a_stream(channel: Channel) -> None:
    async with channel.server_stream("/test.Lane/Metadata", b"", metadata=(("k", "v"),)) as answer:
        initial = (("server-version", "9"), ("first", "1"), ("first", "2"), ("raw-bin", b"\0\xff"))
        assert await answer.wait_initial_metadata() == initial
        assert [batch async for batch in answer.batches()] == [[b"(('k', 'v'),)"]]
        assert answer.initial_metadata == initial
        assert answer.trailing_metadata == (
            ("last", "z"), ("raw-bin", b"\x01"), ("raw-bin", b""),
        )  # fmt: skip


async def test_error_with_all_it_carries(channel: Channel) -> None:
    with pytest.raises(RpcError) as caught:
        await channel.unary("/test.Lane/Fail", BytesValue(), BytesValue)
    error = caught.value
    assert (error.code, error.message) == (Code.NOT_FOUND, "nö such → thing\n100%")
    assert error.details == b"\x08\x05"
    assert ("why-bin", b"\xff\x00") in error.trailing


async def test_trailers_only_has_no_initial_metadata(channel: Channel) -> None:
    async with channel.server_stream("/test.Lane/Fail", b"") as answer:
        assert await answer.wait_initial_metadata() == ()
        with pytest.raises(RpcError):
            await anext(answer.batches())
        assert ("why-bin", b"\xff\x00") in answer.trailing_metadata


async def test_a_reader_that_pauses_holds_the_server_and_nobody_else(
    channel: Channel, bed: Bed
) -> None:
    async with channel.server_stream("/test.Lane/Endless", b"") as answer:
        batches = answer.batches()
        taken = len(await anext(batches))
        last = -1
        while last != bed.produced:
            last = bed.produced
            # Each echo is a round trip that would let the server go on if it could.
            for _ in range(20):
                await echo(channel)
        # A window of 4 MiB and what the transports hold.
        assert (bed.produced - taken) * 1005 < 12 << 20
        taken += len(await anext(batches))
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_leaving_gives_the_window_of_unread_messages_back(serve: Serve) -> None:
    _, address = await serve()
    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    channel = Channel(address, limits=limits)
    async with channel.server_stream("/test.Lane/Endless", b"") as answer:
        await answer.wait_initial_metadata()
        (connection,) = channel._connector._connections
        async with asyncio.timeout(10):
            # There is no event for a full window.
            while connection._h2.inbound_flow_control_window:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.001)
    await echo(channel, 60_000)
    await channel.close()


async def test_leaving_many_streams_is_no_flood(serve: Serve) -> None:
    server, address = await serve(limits=replace(SERVER_LIMITS, resets_per_s=30))
    channel = Channel(address)
    for _ in range(15):
        async with channel.server_stream("/test.Lane/Endless", b"") as answer:
            await anext(answer.batches())
    await echo(channel)
    assert server.statistics().refused == {}
    assert server.statistics().connections_total == 1
    await channel.close()


async def test_nagle_is_off_on_both_sides(serve: Serve) -> None:
    server, address = await serve()
    other = Channel(address)
    await echo(other)
    for connection in (*server.connections, *other._connector._connections):
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await other.close()


async def test_two_endless_streams_share(channel: Channel) -> None:
    async def read(name: str, stop: asyncio.Event) -> None:
        async with channel.server_stream("/test.Lane/Endless", b"") as answer:
            async for batch in answer.batches():
                taken[name] += len(batch)
                if min(taken.values()) > 20_000:
                    stop.set()
                if stop.is_set():
                    return

    taken = {"a": 0, "b": 0}
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(read("a", stop))
        group.create_task(read("b", stop))
        for _ in range(10):
            await echo(channel)
    assert max(taken.values()) < 20 * min(taken.values())


async def read_all(answer: ResponseStream) -> None:
    async for _ in answer.batches():
        pass


@pytest.mark.parametrize("name", ["Sleep", "Endless"])
async def test_deadline_of_a_stream(channel: Channel, bed: Bed, name: str) -> None:
    async with channel.server_stream(f"/test.Lane/{name}", b"", timeout_s=0.1) as answer:
        with pytest.raises(RpcError, match="DeadlineExceeded desc = context deadline exceeded"):
            await read_all(answer)
    await asyncio.wait_for(bed.stopped.wait(), 5)
    await echo(channel)


async def test_server_gone_is_unavailable(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    channel = Channel(address)
    async with channel.server_stream("/test.Lane/Sleep", b"") as answer:
        await asyncio.wait_for(bed.started.wait(), 5)
        for connection in list(server.connections):
            connection._transport.abort()
        with pytest.raises(RpcError) as caught:
            await anext(answer.batches())
    assert str(caught.value).startswith(
        "rpc error: code = Unavailable desc = error reading from server: "
    )
    await echo(channel)
    await channel.close()


async def test_a_deadline_ends_with_its_call(channel: Channel) -> None:
    async with channel.server_stream("/test.Lane/Count", b"1", timeout_s=3600) as answer:
        assert answer._timer is not None
        await read_all(answer)
    assert answer._timer.cancelled()


async def test_close_ends_calls_and_refuses_new_ones(channel: Channel, bed: Bed) -> None:
    async with channel.server_stream("/test.Lane/Sleep", b"") as answer:
        await asyncio.wait_for(bed.started.wait(), 5)
        await channel.close()
        with pytest.raises(RpcError) as caught:
            await anext(answer.batches())
        assert caught.value.code is Code.UNAVAILABLE
    with pytest.raises(RpcError, match="client connection is closing"):
        await echo(channel)
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_calls_wait_for_the_servers_stream_limit(serve: Serve) -> None:
    server, address = await serve(limits=replace(SERVER_LIMITS, max_streams=2))
    channel = Channel(address)
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(echo(channel))
    assert server.statistics().calls_total == 20
    assert server.statistics().refused == {}
    await channel.close()


async def test_reading_before_entering_is_a_mistake(channel: Channel) -> None:
    answer = channel.server_stream(ECHO, b"")
    with pytest.raises(RuntimeError, match="async with"):
        await anext(answer.batches())


@pytest.mark.parametrize(
    ("target", "metadata"), [("nowhere", ()), ("h:1", (("Bad", "x"),)), ("h:1", (("k", "\n"),))]
)
async def test_what_cannot_be_called(target: str, metadata: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match=r"parse address|encode metadata"):
        Channel(target, metadata=metadata)


async def test_statistics(serve: Serve, tmp_path: Path) -> None:
    server, address = await serve(f"unix://{tmp_path}/x.sock")
    channel = Channel(address)
    await echo(channel)
    async with channel.server_stream("/test.Lane/Count", b"300") as answer:
        assert sum([len(batch) async for batch in answer.batches()]) == 300
    found = server.statistics()
    assert (found.connections_open, found.connections_total) == (1, 1)
    assert (found.calls_total, found.messages_sent) == (2, 301)
    await channel.close()


async def test_a_handlers_mistakes_with_metadata(serve: Serve, bed: Bed) -> None:
    _, address = await serve()
    channel = Channel(address)
    await echo(channel)
    call = bed.calls[0]
    with pytest.raises(ValueError, match="headers are already sent"):
        call.set_initial_metadata((("k", "v"),))
    with pytest.raises(ValueError, match="key not allowed"):
        call.set_trailing_metadata((("grpc-status", "0"),))
    await channel.close()


async def test_a_call_costs_the_server_one_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request comes in one piece: the server need not tell the client to stop sending."""
    server, address = await serve()
    channel = Channel(address)
    await echo(channel)
    (ours,) = channel._connector._connections
    (theirs,) = server.connections
    before = ours._intake._control._count
    reads: list[int] = []
    feed = theirs._intake.feed

    def spy(data: bytes) -> bool:
        reads.append(len(data))
        return feed(data)

    monkeypatch.setattr(theirs._intake, "feed", spy)
    await echo(channel, 5000)
    assert len(reads) == 1
    assert ours._intake._control._count == before
    await channel.close()
