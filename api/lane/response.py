"""The answer to a call as it arrives: batches of messages, metadata, the status.

    async with channel.server_stream(path, request) as answer:
        async for messages in answer.batches():
            ...

The call starts on entering and is cancelled on leaving, unless it had ended. Reading slower than
the server sends holds the server back: at most a window is buffered. One task may read.

A server that is going away says which calls it has not looked at (GOAWAY, REFUSED_STREAM). Such a
call is sent once more, on another connection where needed, without its caller noticing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from h2.exceptions import StreamClosedError

from api.lane.metadata import Header, Metadata, decode_metadata, encode_timeout
from api.lane.outcome import is_trailers_only, status_of
from api.lane.status import Code, RpcError, UnprocessedError
from api.lane.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from api.lane.dial import ClientConnection
    from api.lane.wire import Framed

_EXPIRED = "context deadline exceeded"
# Connections that may drain under a call while it waits for a free stream there.
_CONNECTIONS_TRIED = 5


class ResponseStream:
    """A call in progress, as its caller sees it; made by ``Channel``.

    ``connect`` gives the connection; the deadline counts from entering, dialling included.
    ``requests`` are length-prefixed messages, kept until the answer begins.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[ClientConnection]],
        headers: list[Header],
        requests: list[bytes],
        *,
        timeout_s: float | None,
    ) -> None:
        self._connect = connect
        self._headers = headers
        self._requests: list[bytes] | None = requests
        self._requests_ended = True
        self._timeout_s = timeout_s
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connection: ClientConnection | None = None
        self._stream: Stream | None = None
        self._starting = asyncio.Lock()
        self._restarted = False
        self._ended = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._timeout_s is not None:
            self._deadline = loop.time() + self._timeout_s
        try:
            await self._start()
        except BaseException:
            self._release()
            raise
        if self._deadline is not None:
            self._timer = loop.call_at(self._deadline, self._expire)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    @property
    def initial_metadata(self) -> Metadata:
        """What came with the response headers; empty before, and for trailers-only answers."""
        headers = self._open_stream.headers or []
        return () if is_trailers_only(headers) else decode_metadata(headers)

    @property
    def trailing_metadata(self) -> Metadata:
        """What came with the status; empty before the end."""
        stream = self._open_stream
        headers = stream.headers or []
        if stream.trailers is None and is_trailers_only(headers):
            return decode_metadata(headers)
        return decode_metadata(stream.trailers or [])

    async def wait_initial_metadata(self) -> Metadata:
        """Wait for the response headers. Raises RpcError if the call failed before them."""
        while True:
            stream = self._open_stream
            try:
                await stream.wait_headers()
            except UnprocessedError as error:
                await self._restart(stream, error)
            else:
                return self.initial_metadata

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Yield whole messages, as many as have arrived each time, never none.

        Raises:
            RpcError: the call did not end with OK; what had arrived before is yielded first.
        """
        while await self._receive():
            yield self._open_stream.messages()
        self._finish()

    async def frames(self) -> AsyncIterator[Framed]:
        """Yield whole messages as they came, with their prefixes, joined. Raises like batches."""
        while await self._receive():
            yield self._open_stream.framed()
        self._finish()

    @property
    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("read a call: it has not started; enter it with `async with`")
        return self._stream

    async def _receive(self) -> bool:
        while True:
            stream = self._open_stream
            try:
                return await stream.receive()
            except UnprocessedError as error:
                await self._restart(stream, error)

    async def _restart(self, refused: Stream, error: UnprocessedError) -> None:
        """Send the call again, the first time that a server has not looked at it.

        Raises:
            RpcError: it was the second time, or the requests are no longer known; or as starting.
        """
        async with self._starting:
            if self._stream is not refused:
                # The other task of this call has done it.
                return
            if self._restarted or self._requests is None or refused.headers is not None:
                raise error
            self._restarted = True
            self._drop_stream()
            await self._start()

    async def _start(self) -> None:
        """Open a stream and write what is to be said so far, within the deadline."""
        try:
            async with asyncio.timeout_at(self._deadline):
                connection, stream_id = await self._pick()
                stream = Stream(connection, stream_id)
                self._connection, self._stream = connection, stream
                connection.streams[stream_id] = stream
                await self._write_request(connection, stream)
        except TimeoutError:
            raise RpcError(Code.DEADLINE_EXCEEDED, _EXPIRED) from None

    async def _pick(self) -> tuple[ClientConnection, int]:
        """Return a connection with the id of a free stream there."""
        for _ in range(_CONNECTIONS_TRIED - 1):
            connection = await self._connect()
            try:
                return connection, await connection.next_stream_id()
            except UnprocessedError:
                continue
        connection = await self._connect()
        return connection, await connection.next_stream_id()

    def _timeout_header(self) -> list[Header]:
        if self._deadline is None:
            return []
        left_s = self._deadline - asyncio.get_running_loop().time()
        return [(b"grpc-timeout", encode_timeout(left_s))]

    async def _write_request(self, connection: ClientConnection, stream: Stream) -> None:
        headers = [*self._headers, *self._timeout_header()]
        data, ends = b"".join(self._requests or ()), self._requests_ended
        written = connection.send_request(stream.stream_id, headers, data, end=ends)
        if written == len(data):
            return
        try:
            await stream.send(data[written:])
            if self._requests_ended:
                connection.end_stream(stream.stream_id)
        except (RpcError, StreamClosedError):
            # The server answered, or failed, before it had read all: reading will tell which.
            return

    def _expire(self) -> None:
        self._open_stream.fail(RpcError(Code.DEADLINE_EXCEEDED, _EXPIRED))

    def _finish(self) -> None:
        """Note the end of the answer; raise what its status says."""
        self._ended = True
        stream = self._open_stream
        error = status_of(stream.headers or [], stream.trailers)
        if error is not None:
            raise error

    def _release(self) -> None:
        """Cancel the call if it is not over, and free its stream."""
        if self._timer is not None:
            self._timer.cancel()
        self._drop_stream()

    def _drop_stream(self) -> None:
        if self._connection is None or self._stream is None:
            return
        connection, self._connection = self._connection, None
        if not self._ended:
            connection.reset(self._stream.stream_id)
        connection.forget(self._stream)
