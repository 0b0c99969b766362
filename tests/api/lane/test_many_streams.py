"""A relay's load: many servers at once in one process, slow and fast, and one that stops."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.server import Call, Server
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STREAMS = 200
MESSAGES = 500
BATCH = Framed(frame(bytes(850)) * 100, 100)
RELAY = Limits(stream_window_bytes=256 << 10, keepalive_s=1.0, keepalive_timeout_s=1.0)
SERVER = """
import asyncio, sys
from api.lane.server import Server
from api.lane.wire import Framed, frame

async def tick(call):
    while True:
        await call.send(Framed(frame(b"tick"), 1))
        await asyncio.sleep(0.01)

async def main():
    server = Server({"/t.T/Tick": tick})
    print(await server.listen("unix://" + sys.argv[1]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def flows(call: Call) -> None:
    for _ in range(MESSAGES // BATCH.count):
        await call.send(BATCH)


async def endless(call: Call) -> None:
    while True:
        await call.send(BATCH)


async def count(channel: Channel) -> int:
    async with channel.server_stream("/t.T/Flows", b"", wait_for_ready=True) as call:
        return sum([batch.count async for batch in call.frames()])


async def read_on(batches: AsyncIterator[list[bytes]]) -> None:
    async for _ in batches:
        pass


async def test_two_hundred_streams_arrive_whole(tmp_path: Path) -> None:
    server = Server({"/t.T/Flows": flows})
    address = await server.listen(f"unix://{tmp_path}/lane.sock")
    channels = [Channel(address, limits=RELAY) for _ in range(STREAMS)]
    started = time.process_time()
    counts = await asyncio.gather(*map(count, channels))
    spent_us = (time.process_time() - started) / (STREAMS * MESSAGES) * 1e6
    print(f"both sides: {spent_us:.2f} us a message")
    assert counts == [MESSAGES] * STREAMS
    assert server.statistics().connections_open == STREAMS
    await asyncio.gather(*(channel.close() for channel in channels))
    await server.stop(0)


async def test_streams_that_nobody_reads_hold_a_window_each(tmp_path: Path) -> None:
    server = Server({"/t.T/Flows": flows, "/t.T/Endless": endless})
    address = await server.listen(f"unix://{tmp_path}/lane.sock")
    channels = [Channel(address, limits=RELAY) for _ in range(40)]
    calls = [channel.server_stream("/t.T/Endless", b"") for channel in channels]
    for call in calls:
        await call.__aenter__()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader = Channel(address, limits=RELAY)
    # The others' windows fill meanwhile, and this one comes through.
    for _ in range(20):
        assert await count(reader) == MESSAGES
    unread = [call._open_stream._unread_bytes for call in calls]
    assert max(unread) <= RELAY.stream_window_bytes
    # A window at the client, and a chunk and a buffer at the server, in one process here.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 40 * 1024
    # Leaving cancels: the handlers stop.
    for call in calls:
        await call.__aexit__(None, None, None)
    async with asyncio.timeout(10):
        while server.statistics().calls_open:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
    for channel in (*channels, reader):
        await channel.close()
    await server.stop(0)


async def test_a_stopped_server_is_noticed(tmp_path: Path) -> None:
    """SIGSTOP: its sockets stay open, and nothing comes any more."""
    command = [sys.executable, "-c", SERVER, str(tmp_path / "lane.sock")]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    address = (await process.stdout.readline()).decode().strip()
    channel = Channel(address, limits=RELAY)
    try:
        async with channel.server_stream("/t.T/Tick", b"") as call:
            batches = call.batches()
            await anext(batches)
            os.kill(process.pid, signal.SIGSTOP)
            with pytest.raises(RpcError) as caught:
                await asyncio.wait_for(read_on(batches), 30)
        assert caught.value.code is Code.UNAVAILABLE
        assert "keepalive" in caught.value.message
    finally:
        process.kill()
        await process.wait()
        await channel.close()


async def test_all_wait_for_a_server_that_comes_late(tmp_path: Path) -> None:
    path = tmp_path / "lane.sock"
    limits = Limits(backoff_first_s=0.01, backoff_max_s=0.02)
    channels = [Channel(f"unix://{path}", limits=limits) for _ in range(20)]
    counts = asyncio.gather(*map(count, channels))
    with pytest.raises(RpcError):
        async with channels[0].server_stream("/t.T/Flows", b""):
            pass
    server = Server({"/t.T/Flows": flows})
    await server.listen(f"unix://{path}")
    assert await asyncio.wait_for(counts, 30) == [MESSAGES] * 20
    for channel in channels:
        await channel.close()
    await server.stop(0)
