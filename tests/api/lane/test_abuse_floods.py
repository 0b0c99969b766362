"""Peers that send, ask or hold too much: they are bounded or cut, others do not notice."""

from __future__ import annotations

import asyncio
import resource
import struct
from typing import TYPE_CHECKING

import pytest

from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.wire import frame

if TYPE_CHECKING:
    from tests.api.lane.conftest import Bed, Serve

from tests.api.lane.raw_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    RST,
    SETTINGS,
    WINDOW,
    Peer,
    http2,
    still_serves,
)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (http2(PING, 0, 0, bytes(8)), Refusal.TOO_MANY_PINGS),
        (http2(PING, 1, 0, bytes(8)), Refusal.CONTROL_FLOOD),
        (http2(SETTINGS, 0, 0), Refusal.CONTROL_FLOOD),
        (http2(WINDOW, 0, 0, b"\0\0\0\1"), Refusal.WINDOW_FLOOD),
    ],
    ids=["ping", "ping ack", "settings", "window"],
)
async def test_floods_end_the_connection(serve: Serve, wire: bytes, reason: Refusal) -> None:
    limits = Limits(control_frames_per_s=200, window_updates_per_s=200, close_s=0.2)
    server, address = await serve(limits=limits)
    async with Peer(address) as peer:
        peer.hello()
        peer.writer.write(wire * 1000)
        await peer.cut_off()
    assert server.statistics().refused == {reason: 1}


async def test_continuation_flood_is_bounded(serve: Serve) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        peer.writer.write(http2(HEADERS, 0, 1, peer.block()))
        peer.writer.write(http2(CONTINUATION, 0, 1, b"\0\1a\1b" * 3000) * 200)
        await peer.cut_off()
    assert server.statistics().refused == {Refusal.PROTOCOL: 1}
    await still_serves(address)


async def test_a_header_block_that_does_not_end_is_not_kept(serve: Serve) -> None:
    server, address = await serve(limits=Limits(max_header_list_bytes=16_000, close_s=0.2))
    async with Peer(address) as peer:
        peer.hello()
        peer.writer.write(http2(HEADERS, 0, 1, peer.block()))
        peer.writer.write(http2(CONTINUATION, 0, 1, b"\0\1a\1b" * 3000))
        peer.writer.write(http2(CONTINUATION, 0, 1, b"\0\1a\1b" * 300))
        assert await peer.goaway() == 0xB
    assert server.statistics().refused == {Refusal.PROTOCOL: 1}


@pytest.mark.parametrize("bomb", ["long", "references"])
async def test_header_bombs(serve: Serve, bomb: str) -> None:
    server, address = await serve(limits=Limits(max_header_list_bytes=16_000, close_s=0.2))
    async with Peer(address) as peer:
        peer.hello()
        if bomb == "long":
            block = peer.block(*[(f"x-{number}", "v" * 500) for number in range(40)])
        else:
            # One entry of 4 kB in the table, and a byte for each further use of it.
            block = peer.encoder.encode([("a" * 10, "b" * 4000)]) + b"\xbe" * 2000
        pieces = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
        for number, piece in enumerate(pieces):
            flags = END_HEADERS if number == len(pieces) - 1 else 0
            peer.writer.write(http2(CONTINUATION if number else HEADERS, flags, 1, piece))
        assert await peer.goaway() == 0xB
    assert server.statistics().refused == {Refusal.PROTOCOL: 1}


async def test_rapid_reset(serve: Serve) -> None:
    server, address = await serve(limits=Limits(resets_per_s=100, close_s=0.2))
    async with Peer(address) as peer:
        peer.hello()
        for number in range(500):
            stream_id = 2 * number + 1
            peer.request(stream_id, (":path", "/test.Lane/Sleep"), data=frame(b""))
            peer.writer.write(http2(RST, 0, stream_id, b"\0\0\0\x08"))
        await peer.cut_off()
    statistics = server.statistics()
    assert statistics.refused == {Refusal.RESET_FLOOD: 1}
    # Rates are counted by the second: the attack may fall into two of them.
    assert statistics.calls_total <= 2 * 101
    assert (statistics.calls_open, statistics.connections_open) == (0, 0)
    await still_serves(address)


async def test_one_stream_too_many_is_refused_and_the_others_live(serve: Serve, bed: Bed) -> None:
    server, address = await serve(limits=Limits(max_streams=3, close_s=0.2))
    async with Peer(address) as peer:
        peer.hello()
        for stream_id in (1, 3, 5, 7):
            peer.request(stream_id, (":path", "/test.Lane/Sleep"), data=frame(b""))
        _, _, stream_id, payload = await peer.frame_of(RST, GOAWAY)
        assert (stream_id, payload) == (7, b"\0\0\0\7")
        peer.writer.write(http2(RST, 0, 1, b"\0\0\0\x08"))
        await asyncio.wait_for(bed.stopped.wait(), 5)
        peer.request(9, data=frame(b"now"))
        assert (await peer.headers())[":status"] == "200"
    assert server.statistics().refused == {Refusal.STREAM_LIMIT: 1}


async def test_a_flood_of_streams_too_many_ends_the_connection(serve: Serve) -> None:
    server, address = await serve(limits=Limits(max_streams=1, resets_per_s=20, close_s=0.2))
    async with Peer(address) as peer:
        peer.hello()
        for stream_id in range(1, 201, 2):
            peer.request(stream_id, (":path", "/test.Lane/Sleep"), data=frame(b""))
        await peer.cut_off()
    refused = server.statistics().refused
    assert refused[Refusal.RESET_FLOOD] == 1
    assert refused[Refusal.STREAM_LIMIT] == 21


async def test_reset_before_the_handler_ran_leaves_nothing(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        head = http2(HEADERS, END_HEADERS, 1, peer.block((":path", "/test.Lane/Sleep")))
        # In one write, so that the server sees both before the task of the call starts.
        peer.writer.write(head + http2(RST, 0, 1, b"\0\0\0\x08") + http2(PING, 0, 0, bytes(8)))
        while (await peer.frame_of(PING))[1] != 1:
            pass
        assert server.statistics().calls_open == 0
    assert not bed.started.is_set()


async def test_a_peer_that_never_reads_is_bounded(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    window = 2**31 - 1
    async with Peer(address) as peer:
        peer.stop_reading()
        peer.hello(struct.pack(">HI", 4, window))
        peer.writer.write(http2(WINDOW, 0, 0, struct.pack(">I", window - 65_535)))
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peer.request(1, (":path", "/test.Lane/Endless"), data=frame(b""))
        await produced_stands_still(bed)
        # Others are served meanwhile, and the stalled one takes what sockets and one buffer hold.
        await still_serves(address)
        assert bed.produced * 1005 < 64 << 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 32 << 10
        assert server.statistics().calls_open == 1
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_stopping_does_not_wait_for_a_peer_that_never_reads(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.stop_reading()
        peer.hello(struct.pack(">HI", 4, 2**31 - 1))
        peer.writer.write(http2(WINDOW, 0, 0, struct.pack(">I", 2**30)))
        peer.request(1, (":path", "/test.Lane/Endless"), data=frame(b""))
        await produced_stands_still(bed)
        await server.stop(0)
        assert server.statistics().connections_open == 0


async def produced_stands_still(bed: Bed) -> None:
    """Wait until the handler was started and no longer gets rid of batches."""
    await asyncio.wait_for(bed.started.wait(), 5)
    last, quiet = -1, 0
    while quiet < 200:
        await asyncio.sleep(0.001)
        quiet = quiet + 1 if bed.produced == last else 0
        last = bed.produced


async def test_a_peer_that_asks_and_never_reads_is_cut(serve: Serve, bed: Bed) -> None:
    limits = Limits(
        control_frames_per_s=10**9,
        min_ping_interval_s=0,
        control_backlog_bytes=1000,
        write_high_bytes=1000,
        close_s=0.2,
    )
    server, address = await serve(limits=limits)
    async with Peer(address) as peer:
        peer.stop_reading()
        peer.hello(struct.pack(">HI", 4, 2**31 - 1))
        peer.writer.write(http2(WINDOW, 0, 0, struct.pack(">I", 2**30)))
        peer.request(1, (":path", "/test.Lane/Endless"), data=frame(b""))
        await produced_stands_still(bed)
        for _ in range(100):
            if server.statistics().refused:
                break
            peer.writer.write(http2(PING, 0, 0, bytes(8)) * 1000)
            await asyncio.sleep(0)
        await asyncio.wait_for(bed.stopped.wait(), 5)
    assert server.statistics().refused == {Refusal.BACKLOG: 1}


async def test_an_announced_giant_is_refused_before_it_comes(serve: Serve) -> None:
    _, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        peer.writer.write(
            http2(HEADERS, END_HEADERS, 1, peer.block())
            + http2(DATA, 0, 1, b"\0\x40\0\0\0")
            + http2(DATA, 0, 1, bytes(10_000))
        )
        fields = await peer.headers()
        assert fields["grpc-status"] == "8"
        assert "larger than max (1073741824 vs. 4194304)" in fields["grpc-message"]


async def test_the_peers_window_is_respected(serve: Serve) -> None:
    _, address = await serve()
    async with Peer(address) as peer:
        peer.hello(struct.pack(">HI", 4, 10))
        peer.request(1, (":path", "/test.Lane/Count"), data=frame(b"1"))
        got = (await peer.frame_of(DATA))[3]
        assert len(got) == 10
        peer.writer.write(http2(WINDOW, 0, 1, struct.pack(">I", 100)))
        got += (await peer.frame_of(DATA))[3]
        assert len(got) == 110
        # A smaller initial window makes what is open negative: nothing until it is paid back.
        peer.writer.write(http2(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        peer.writer.write(http2(WINDOW, 0, 1, struct.pack(">I", 10)) + http2(PING, 0, 0, bytes(8)))
        assert (await peer.frame_of(PING, DATA))[0] == PING
        peer.writer.write(http2(WINDOW, 0, 1, struct.pack(">I", 1000)))
        while len(got) < 305:
            got += (await peer.frame_of(DATA))[3]
        assert got == frame(bytes(300))
