"""The answer to a call as it arrives: batches of messages, metadata, the status.

    async with channel.server_stream(path, request) as answer:
        async for messages in answer.batches():
            ...

The call starts on entering and is cancelled on leaving, unless it had ended. Reading slower than
the server sends holds the server back: at most a window is buffered. One task may read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from h2.exceptions import StreamClosedError

from api.lane.metadata import Header, Metadata, decode_details, decode_metadata
from api.lane.status import (
    Code,
    RpcError,
    code_of_http_status,
    decode_message,
    http_status_text,
    parse_code,
)
from api.lane.stream import Stream
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from api.lane.dial import ClientConnection

_EXPIRED = "context deadline exceeded"


class ResponseStream:
    """A call in progress, as its caller sees it; made by ``Channel``.

    ``connect`` gives the connection; the deadline counts from entering, dialling included.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[ClientConnection]],
        headers: list[Header],
        request: bytes,
        *,
        timeout_s: float | None,
    ) -> None:
        self._connect = connect
        self._headers = headers
        self._request = request
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._connection: ClientConnection | None = None
        self._stream: Stream | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        deadline = None if self._timeout_s is None else loop.time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._start()
        except TimeoutError:
            self._release()
            raise RpcError(Code.DEADLINE_EXCEEDED, _EXPIRED) from None
        except BaseException:
            self._release()
            raise
        if deadline is not None and self._stream is not None:
            error = RpcError(Code.DEADLINE_EXCEEDED, _EXPIRED)
            self._timer = loop.call_at(deadline, self._stream.fail, error)
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
        return () if _is_trailers_only(headers) else decode_metadata(headers)

    @property
    def trailing_metadata(self) -> Metadata:
        """What came with the status; empty before the end."""
        stream = self._open_stream
        headers = stream.headers or []
        if stream.trailers is None and _is_trailers_only(headers):
            return decode_metadata(headers)
        return decode_metadata(stream.trailers or [])

    async def wait_initial_metadata(self) -> Metadata:
        """Wait for the response headers. Raises RpcError if the call failed before them."""
        await self._open_stream.wait_headers()
        return self.initial_metadata

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Yield whole messages, as many as have arrived each time, never none.

        Raises:
            RpcError: the call did not end with OK; what had arrived before is yielded first.
        """
        stream = self._open_stream
        while await stream.receive():
            yield stream.messages()
        self._finish()

    async def frames(self) -> AsyncIterator[Framed]:
        """Yield whole messages as they came, with their prefixes, joined. Raises like batches."""
        stream = self._open_stream
        while await stream.receive():
            yield stream.framed()
        self._finish()

    @property
    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("read a call: it has not started; enter it with `async with`")
        return self._stream

    async def _start(self) -> None:
        connection = await self._connect()
        stream_id = await connection.next_stream_id()
        stream = Stream(connection, stream_id)
        self._connection, self._stream = connection, stream
        connection.streams[stream_id] = stream
        connection.send_headers(stream_id, self._headers)
        try:
            await stream.send(frame(self._request))
            connection.end_stream(stream_id)
        except (RpcError, StreamClosedError):
            # The server answered, or failed, before it had read all: reading will tell which.
            return

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
        if self._connection is None or self._stream is None:
            return
        connection, self._connection = self._connection, None
        if not self._ended:
            connection.reset(self._stream.stream_id)
        connection.forget(self._stream)


def _is_trailers_only(headers: list[Header]) -> bool:
    return any(key == b"grpc-status" for key, _ in headers)


def status_of(headers: list[Header], trailers: list[Header] | None) -> RpcError | None:
    """Return the error that a whole answer says, None for OK.

    ``trailers`` is None for an answer of a single header block.
    """
    first = dict(headers)
    last = first if trailers is None else dict(trailers)
    if b"grpc-status" not in last:
        return _error_of_http(first)
    code = parse_code(last[b"grpc-status"].decode("latin-1"))
    if code == Code.OK:
        return None
    message = decode_message(last.get(b"grpc-message", b"").decode("latin-1"))
    try:
        trailing = decode_metadata(headers if trailers is None else trailers)
    except RpcError:
        # The status is worth more than metadata beside it that cannot be read.
        trailing = ()
    return RpcError(code, message, decode_details(last), trailing)


def _error_of_http(fields: dict[bytes, bytes]) -> RpcError:
    """Return the error for an answer without a gRPC status: no gRPC server, or a broken one."""
    status = fields.get(b":status", b"0").decode("latin-1")
    kind = fields.get(b"content-type", b"").decode("latin-1")
    if status == "200" and kind.startswith("application/grpc"):
        return RpcError(Code.INTERNAL, "server closed the stream without sending trailers")
    number = int(status) if status.isascii() and status.isdecimal() else 0
    text = f"unexpected HTTP status code received from server: {http_status_text(number)}"
    if not kind.startswith("application/grpc"):
        text += f'; transport: received unexpected content-type "{kind}"'
    return RpcError(code_of_http_status(number), text)
