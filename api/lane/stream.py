"""One call's half of a connection: what came in, and the way out.

The connection pushes in what it received; the one task that reads takes whole messages and thereby
gives window back to the peer. The one task that writes waits here for window, for the transport
and for its turn. Both learn of the end of the stream by an RpcError. A stream never holds more
than its window and one incomplete message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from api.lane.status import Code, RpcError
from api.lane.wire import Deframer, Framed

if TYPE_CHECKING:
    from api.lane.limits import Limits
    from api.lane.metadata import Header


class StreamOwner(Protocol):
    """What a stream needs of its connection."""

    limits: Limits

    def send_room(self, stream_id: int) -> int:
        """Return the bytes that may be written now; StreamClosedError if the stream is over."""

    def write_data(self, stream_id: int, data: memoryview) -> None:
        """Write DATA, at most :meth:`send_room`."""

    def acknowledge(self, stream_id: int, size_bytes: int) -> None:
        """Give window back to the peer."""


class Wakeup:
    """Lets one task wait for the next ``notify``; a notification without a waiter is dropped.

    The waiter therefore checks its condition before each wait, with no await in between.
    """

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def notify(self) -> None:
        """Wake the waiter, if there is one."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        """Return at the next notification; may be cancelled at any time."""
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None


class Stream:
    """One HTTP/2 stream that carries a gRPC call, on either side."""

    __slots__ = (
        "_deframer",
        "_owner",
        "_readable",
        "_sent_in_turn_bytes",
        "_unread_bytes",
        "_writable",
        "ended",
        "error",
        "headers",
        "stream_id",
        "task",
        "trailers",
    )

    def __init__(self, owner: StreamOwner, stream_id: int) -> None:
        self.stream_id = stream_id
        self.headers: list[Header] | None = None
        self.trailers: list[Header] | None = None
        self.ended = False
        self.error: RpcError | None = None
        self.task: asyncio.Task[None] | None = None
        self._owner = owner
        self._deframer = Deframer(owner.limits.max_message_bytes)
        self._readable = Wakeup()
        self._writable = Wakeup()
        self._unread_bytes = 0
        self._sent_in_turn_bytes = 0

    # What the connection does.

    def push(self, payloads: list[bytes]) -> int:
        """Add received DATA, whose window is given back when it is read; return its bytes."""
        size_bytes = 0
        for payload in payloads:
            size_bytes += len(payload)
            self._deframer.push(payload)
        self._unread_bytes += size_bytes
        self._readable.notify()
        return size_bytes

    def headers_received(self, headers: list[Header]) -> None:
        """Keep the response headers."""
        self.headers = headers
        self._readable.notify()

    def trailers_received(self, headers: list[Header]) -> None:
        """Keep the trailers; the end of the stream follows."""
        self.trailers = headers

    def end(self) -> None:
        """Note that the peer sends no more."""
        self.ended = True
        self._readable.notify()
        self._writable.notify()

    def fail(self, error: RpcError) -> None:
        """End the stream with an error: reader and writer get it, a handler is cancelled."""
        if self.error is None:
            self.error = error
        self._readable.notify()
        self._writable.notify()
        if self.task is not None:
            self.task.cancel()

    def may_write(self) -> None:
        """Note that window or transport have room again."""
        self._writable.notify()

    def set_encoding(self, encoding: str) -> None:
        """Note the peer's ``grpc-encoding``, for the message that refuses it."""
        self._deframer.encoding = encoding

    # What the call does.

    async def receive(self) -> bool:
        """Wait until a message is there; False at the end of the stream.

        Raises:
            RpcError: the stream failed, after all that had arrived whole was taken; or it ended
                within a message (INTERNAL).
        """
        while not self._deframer.ready:
            if self.error is not None:
                raise self.error
            if self.ended:
                if self._deframer.size_bytes:
                    raise RpcError(Code.INTERNAL, "unexpected EOF")
                return False
            # A message larger than the window must be able to arrive; max_message_bytes bounds it.
            self._release(keep_bytes=0)
            await self._readable.wait()
        return True

    async def wait_headers(self) -> list[Header]:
        """Wait for the response headers; empty if the stream ended without.

        Raises:
            RpcError: the stream failed before they came.
        """
        while self.headers is None and not self.ended:
            if self.error is not None:
                raise self.error
            await self._readable.wait()
        return self.headers or []

    def messages(self) -> list[bytes]:
        """Take all whole messages; at least one after :meth:`receive` was True."""
        messages = self._deframer.messages()
        self._release(keep_bytes=self._deframer.size_bytes)
        return messages

    def framed(self) -> Framed:
        """Take whole messages, joined; at least one after :meth:`receive` was True."""
        batch = self._deframer.framed()
        self._release(keep_bytes=self._deframer.size_bytes)
        return batch

    def one_message(self) -> bytes:
        """Take one message after :meth:`receive` was True; further ones keep their place."""
        message = self._deframer.one_message()
        self._release(keep_bytes=self._deframer.size_bytes)
        return message

    def discard(self) -> None:
        """Give all window back: nobody will read what is here."""
        self._release(keep_bytes=0)

    def _release(self, *, keep_bytes: int) -> None:
        """Give the peer window for what has arrived, except for bytes that still wait here."""
        size_bytes = self._unread_bytes - keep_bytes
        if size_bytes > 0:
            self._unread_bytes -= size_bytes
            self._owner.acknowledge(self.stream_id, size_bytes)

    async def send(self, data: bytes) -> None:
        """Write length-prefixed messages, as fast as the peer reads and others get their turn.

        Cancelling leaves a part of ``data`` written: the stream can then only be ended.

        Raises:
            RpcError: the stream failed.
            StreamClosedError: the stream is over for sending.
        """
        view = memoryview(data)
        while view:
            if self.error is not None:
                raise self.error
            room = self._owner.send_room(self.stream_id)
            if room <= 0:
                await self._writable.wait()
                self._sent_in_turn_bytes = 0
                continue
            self._owner.write_data(self.stream_id, view[:room])
            self._sent_in_turn_bytes += min(room, len(view))
            view = view[room:]
            if self._sent_in_turn_bytes >= self._owner.limits.write_chunk_bytes:
                # A fast reader never makes us wait: without this one call would hold the loop.
                self._sent_in_turn_bytes = 0
                await asyncio.sleep(0)
