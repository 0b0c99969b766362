"""How a server ends: GOAWAY, a time to drain, UNAVAILABLE, the socket file."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.server import Server
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Serve


async def test_an_idle_connection_is_closed_and_the_client_comes_back(
    serve: Serve, bed: Bed
) -> None:
    server, address = await serve()
    channel = Channel(address)
    assert await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue) == BytesValue()
    await server.stop(5)
    assert server.statistics().connections_open == 0
    with pytest.raises(RpcError, match="connect: connection refused"):
        await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue)
    second = Server(bed.methods())
    assert await second.listen(address) == address
    assert await channel.unary("/test.Lane/Echo", BytesValue(), BytesValue) == BytesValue()
    await channel.close()
    await second.stop(0)


async def test_a_call_ends_in_peace_within_the_grace(serve: Serve) -> None:
    server, address = await serve()
    channel = Channel(address)
    count = 0
    async with (
        asyncio.TaskGroup() as group,
        channel.server_stream("/test.Lane/Count", b"50000") as answer,
    ):
        await answer.wait_initial_metadata()
        stopping = group.create_task(server.stop(30))
        async for batch in answer.batches():
            count += len(batch)
    assert (count, stopping.done()) == (50_000, True)
    await channel.close()


async def test_after_the_grace_calls_get_unavailable(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    channel = Channel(address)
    async with channel.server_stream("/test.Lane/Sleep", b"") as answer:
        await bed.started.wait()
        await server.stop(0.01)
        assert bed.stopped.is_set()
        with pytest.raises(RpcError) as caught:
            await anext(answer.batches())
    assert (caught.value.code, caught.value.message) == (
        Code.UNAVAILABLE,
        "server is shutting down",
    )
    await channel.close()


async def test_requests_that_cross_the_goaway_are_served(serve: Serve) -> None:
    """The peer sends its request after the server has written GOAWAY but before it saw it."""
    server, address = await serve()
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    peer = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    peer.initiate_connection()
    peer.ping(bytes(8))
    writer.write(peer.data_to_send())
    while not any(
        isinstance(event, h2.events.PingAckReceived)
        for event in peer.receive_data(await reader.read(1000))
    ):
        pass
    stopping = asyncio.get_running_loop().create_task(server.stop(10))
    await asyncio.sleep(0)
    headers = {
        ":method": "POST", ":scheme": "http", ":path": "/test.Lane/Echo", ":authority": "x",
        "content-type": "application/grpc",
    }  # fmt: skip
    peer.send_headers(1, list(headers.items()))
    peer.send_data(1, b"\0\0\0\0\1x", end_stream=True)
    # The answer to the server's PING, which stands between its two GOAWAYs, goes out after it.
    writer.write(peer.data_to_send() + struct.pack(">HBBBI", 0, 8, 6, 1, 0) + b"lane-rtt")
    received = await asyncio.wait_for(reader.read(-1), 10)
    assert received.count(b"graceful_stop") == 2
    assert b"\0\0\0\0\1x" in received
    await stopping
    writer.close()


async def test_stop_takes_a_silent_connection_down(serve: Serve) -> None:
    server, address = await serve()
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readexactly(9)
    await server.stop(30)
    await asyncio.wait_for(reader.read(-1), 5)
    writer.close()


async def test_a_cancelled_stop_still_ends_everything(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    channel = Channel(address)
    async with channel.server_stream("/test.Lane/Sleep", b"") as answer:
        await bed.started.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.stop(60), 0.01)
        with pytest.raises(RpcError) as caught:
            await anext(answer.batches())
        assert caught.value.code is Code.UNAVAILABLE
    await bed.stopped.wait()
    await channel.close()


async def test_the_socket_file_is_removed_unless_it_is_anothers(bed: Bed, tmp_path: Path) -> None:
    path = tmp_path / "lane.sock"
    first, second = Server(bed.methods()), Server(bed.methods())
    await first.listen(f"unix://{path}")
    with pytest.raises(OSError, match=f"listen on unix://{path}: Address already in use"):
        await second.listen(f"unix://{path}")
    path.unlink()
    await second.listen(f"unix://{path}")
    await first.stop(0)
    assert path.is_socket()
    await second.stop(0)
    assert not path.exists()
