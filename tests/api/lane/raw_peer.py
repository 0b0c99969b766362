"""A raw HTTP/2 client for tests: it sends any bytes, right or wrong, and reads frames."""

from __future__ import annotations

import asyncio
import struct
from typing import Self, cast

import hpack
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.wire import PREFACE, frame_head

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
