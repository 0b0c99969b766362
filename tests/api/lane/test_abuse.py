"""Peers that are wrong or hostile: they are turned away, nothing grows, others do not notice."""

from __future__ import annotations

import asyncio
import resource
import struct
from typing import TYPE_CHECKING, Self, cast

import hpack
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.wire import PREFACE, frame, frame_head

if TYPE_CHECKING:
    from tests.api.lane.conftest import Bed, Serve

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END, END_HEADERS = 1, 4
REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Lane/Echo"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


def http2(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload


class Peer:
    """A raw HTTP/2 client: sends any bytes, reads frames."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()

    async def __aenter__(self) -> Self:
        host, _, port = self.address.rpartition(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    def stop_reading(self) -> None:
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def hello(self, settings: bytes = b"") -> None:
        self.writer.write(PREFACE + http2(SETTINGS, 0, 0, settings))

    def block(self, *changes: tuple[str, str | None]) -> bytes:
        """Encode the headers of a request; a change to None leaves a header out."""
        fields = {**dict(REQUEST), **dict(changes)}
        return self.encoder.encode([(k, v) for k, v in fields.items() if v is not None])

    def request(
        self, stream_id: int, *changes: tuple[str, str | None], data: bytes | None = None
    ) -> None:
        flags = END_HEADERS | (END if data is None else 0)
        self.writer.write(http2(HEADERS, flags, stream_id, self.block(*changes)))
        if data is not None:
            self.writer.write(http2(DATA, END, stream_id, data))

    async def frame(self) -> tuple[int, int, int, bytes]:
        """Read one frame: type, flags, stream id, payload."""
        head = await self.reader.readexactly(9)
        size = int.from_bytes(head[:3], "big")
        kind, flags, stream_id = struct.unpack(">BBI", head[3:])
        return kind, flags, stream_id, await self.reader.readexactly(size)

    async def frame_of(self, *kinds: int) -> tuple[int, int, int, bytes]:
        while True:
            found = await asyncio.wait_for(self.frame(), 10)
            if found[0] in kinds:
                return found

    async def headers(self) -> dict[str, str]:
        """Read the next header block."""
        *_, payload = await self.frame_of(HEADERS)
        return {str(key): str(value) for key, value in self.decoder.decode(payload)}

    async def goaway(self) -> int:
        """Read up to GOAWAY and the end; return its error code."""
        *_, payload = await self.frame_of(GOAWAY)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await self.frame_of()
        code: int = struct.unpack(">II", payload[:8])[1]
        return code

    async def cut_off(self) -> None:
        """Read to the end.

        A flood may miss its GOAWAY: the kernel resets a socket closed with unread bytes.
        """
        await asyncio.wait_for(asyncio.gather(self.reader.read(), return_exceptions=True), 10)


async def still_serves(address: str) -> None:
    channel = Channel(address)
    sent = BytesValue(value=b"others")
    assert await channel.unary("/test.Lane/Echo", sent, BytesValue, timeout_s=10) == sent
    await channel.close()


@pytest.mark.parametrize(
    ("wire", "error_code", "reason"),
    [
        (http2(DATA, 0, 1, bytes(16_385)), 6, Refusal.FRAME_SIZE),
        (http2(DATA, 0, 5, b"abc"), 1, Refusal.PROTOCOL),
        (http2(DATA, 0, 0, b"abc"), 1, Refusal.PROTOCOL),
        (http2(HEADERS, END_HEADERS, 2, b"\x82"), 1, Refusal.PROTOCOL),
        (http2(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), 1, Refusal.PROTOCOL),
        (http2(HEADERS, 0, 1, b"\x82") + http2(DATA, 0, 1, b"x"), 1, Refusal.PROTOCOL),
        (http2(HEADERS, 0, 1, b"\x82") + http2(WINDOW, 0, 0, b"\0\0\0\1"), 1, Refusal.PROTOCOL),
        (http2(CONTINUATION, 4, 1, b""), 1, Refusal.PROTOCOL),
        (http2(WINDOW, 0, 0, bytes(4)), 1, Refusal.PROTOCOL),
        (http2(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2, 3, Refusal.PROTOCOL),
        (http2(WINDOW, 0, 0, b"\1"), 6, Refusal.PROTOCOL),
        (http2(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), 3, Refusal.PROTOCOL),
        (http2(SETTINGS, 0, 0, b"\0\5\0\0\0\1"), 1, Refusal.PROTOCOL),
        (http2(SETTINGS, 0, 3, b""), 1, Refusal.PROTOCOL),
        (http2(PING, 0, 0, b"short"), 6, Refusal.PROTOCOL),
        (http2(RST, 0, 9, bytes(4)), 1, Refusal.PROTOCOL),
        (http2(GOAWAY, 0, 0, b"short"), 6, Refusal.PROTOCOL),
        (http2(5, 4, 1, b"\0\0\0\2\x82"), 1, Refusal.PROTOCOL),
    ],
    ids=[
        "frame too large", "data on idle stream", "data on stream 0", "even stream id",
        "broken hpack", "data in header block", "window in header block", "naked continuation",
        "zero window update", "window overflow", "short window update", "huge initial window",
        "tiny max frame", "settings on a stream", "short ping", "reset of idle stream",
        "short goaway", "push promise",
    ],
)  # fmt: skip
async def test_wrong_frames_end_the_connection(
    serve: Serve, wire: bytes, error_code: int, reason: Refusal
) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        peer.writer.write(wire)
        found = await peer.goaway()
    assert (found, dict(server.statistics().refused)) == (error_code, {reason: 1})
    await still_serves(address)


@pytest.mark.parametrize(
    "changes",
    [
        ((":method", None),),
        ((":path", None),),
        ((":scheme", None),),
        (("Upper", "x"),),
        (("connection", "close"),),
    ],
    ids=["no method", "no path", "no scheme", "upper case", "connection header"],
)
async def test_wrong_headers_end_the_connection(
    serve: Serve, changes: tuple[tuple[str, str | None], ...]
) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        peer.request(1, *changes)
        assert await peer.goaway() == 1
    assert server.statistics().refused == {Refusal.PROTOCOL: 1}
    await still_serves(address)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00", b"\0"])
async def test_other_protocols(serve: Serve, data: bytes) -> None:
    server, address = await serve()
    async with Peer(address) as peer:
        peer.writer.write(data)
        await peer.cut_off()
    assert server.statistics().refused == {Refusal.PREFACE: 1}


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE])
async def test_silence_before_settings_ends_the_connection(serve: Serve, said: bytes) -> None:
    server, address = await serve(limits=Limits(handshake_s=0.05, close_s=0.2))
    async with Peer(address) as peer:
        peer.writer.write(said)
        await asyncio.wait_for(peer.reader.read(), 10)
    assert server.statistics().refused == {Refusal.HANDSHAKE_TIMEOUT: 1}


@pytest.mark.parametrize(
    ("changes", "data", "status", "text"),
    [
        ((), b"\0\0\0\0\x09ab", "13", "unexpected EOF"),
        ((), b"\1\0\0\0\1x", "13", "compressed flag 1"),
        ((("grpc-timeout", "zz"),), frame(b""), "13", 'malformed grpc-timeout: "zz"'),
        ((("x-bin", "!!!"),), frame(b""), "13", "malformed binary metadata"),
        (((":path", "/a/b/c"),), frame(b""), "12", "unknown service a"),
        (((":path", "*"),), frame(b""), "12", "unknown service *"),
        ((("grpc-timeout", "1n"),), frame(b""), "4", "context deadline exceeded"),
    ],
)
async def test_wrong_calls_get_a_status(
    serve: Serve,
    changes: tuple[tuple[str, str | None], ...],
    data: bytes,
    status: str,
    text: str,
) -> None:
    _, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        slow = "grpc-timeout" in dict(changes)
        path = (":path", "/test.Lane/Sleep" if slow else "/test.Lane/Echo")
        peer.request(1, path, *changes, data=data)
        fields = await peer.headers()
        assert (fields[":status"], fields["grpc-status"]) == ("200", status)
        assert text in fields["grpc-message"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        (((":method", "GET"),), "405"),
        ((("content-type", "text/html"),), "415"),
        ((("content-type", None),), "415"),
        ((("content-type", "application/grpcx"),), "415"),
    ],
)
async def test_requests_that_are_not_grpc(
    serve: Serve, changes: tuple[tuple[str, str | None], ...], status: str
) -> None:
    _, address = await serve()
    async with Peer(address) as peer:
        peer.hello()
        peer.request(1, *changes)
        assert (await peer.headers())[":status"] == status


async def test_odd_but_legal_requests_are_served(serve: Serve) -> None:
    _, address = await serve()
    async with Peer(address) as peer:
        peer.hello(struct.pack(">HI", 0xAAAA, 1))
        peer.writer.write(http2(0xBB, 0, 0, b"grease"))
        message = frame(b"abcd")
        head = peer.block(
            ("odd", "\xff\xfe"),
            ("grpc-timeout", "99999999H"),
            ("content-type", "application/grpc+proto"),
        )
        peer.writer.write(
            http2(HEADERS, 0, 1, head[:5])
            + http2(CONTINUATION, END_HEADERS, 1, head[5:])
            + http2(DATA, 0, 1, message[:3])
            + http2(DATA, 0, 1, b"")
            + http2(DATA, 0x8, 1, b"\x02" + message[3:] + b"\0\0")
            + http2(DATA, END, 1, b"")
            + http2(GOAWAY, 0, 0, bytes(8))
        )
        assert (await peer.headers())[":status"] == "200"
        assert (await peer.frame_of(DATA))[3] == message
        assert (await peer.headers())["grpc-status"] == "0"


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
