"""Lane connections on a socket that is not there, on one event loop for all runs.

Bytes come in as a peer would send them; what the connection writes is checked to be HTTP/2.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from api.lane.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from api.lane.conn import Connection

LAST_KIND = 9
FRAME_HEAD_BYTES = 9
TURNS = 30
LIMITS = Limits(
    # Floods have their own tests; here the outcome must not depend on the clock.
    control_frames_per_s=1 << 30,
    window_updates_per_s=1 << 30,
    resets_per_s=1 << 30,
    max_ping_strikes=1 << 30,
    max_message_bytes=1 << 16,
    stream_window_bytes=1 << 16,
    connection_window_bytes=1 << 17,
    max_streams=5,
    turn_s=0.0,
)


class Transport(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False
        self.ended_early = False
        """By the connection itself, before the peer was lost."""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.ended, "write after close"
        self.written += data

    def close(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Complaints(logging.Handler):
    """Collects what the lane logs as errors of its own: a peer must not cause any."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(logging.Formatter().format(record))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it to its end; fail also for errors that were only logged."""
    complaints = Complaints()
    loop = _loop()
    loop.set_exception_handler(lambda _, context: complaints.seen.append(repr(context)))
    logger = logging.getLogger("api.lane")
    logger.addHandler(complaints)
    try:
        loop.run_until_complete(coroutine)
    finally:
        logger.removeHandler(complaints)
    assert complaints.seen == []


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def feed(connection: Connection, pieces: list[bytes], *, pause: bool) -> Transport:
    """Give a connection the pieces, lose the socket, and let all calls end."""
    transport = Transport()
    connection.connection_made(transport)
    for piece in pieces:
        connection.data_received(piece)
        if pause:
            await turns()
    await turns()
    transport.ended_early = transport.ended
    connection.connection_lost(None)
    await turns()
    check_frames(bytes(transport.written), is_client=connection.client_side)
    assert not connection.streams
    assert connection.closed
    return transport


def check_frames(written: bytes, *, is_client: bool) -> None:
    """Walk over what was written: whole frames of known types and sizes."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    if is_client:
        assert written.startswith(preface)
    at = len(preface) if is_client else 0
    while at < len(written):
        size = int.from_bytes(written[at : at + 3], "big")
        assert size <= 1 << 14
        assert written[at + 3] <= LAST_KIND
        at += FRAME_HEAD_BYTES + size
    assert at == len(written)
