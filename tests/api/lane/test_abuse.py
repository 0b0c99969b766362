"""Peers that are wrong or hostile: they are turned away, nothing grows, others do not notice."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest

from api.lane.guard import Refusal
from api.lane.limits import Limits
from api.lane.wire import PREFACE, frame

if TYPE_CHECKING:
    from tests.api.lane.conftest import Serve

from tests.api.lane.raw_peer import (
    CONTINUATION,
    DATA,
    END,
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
