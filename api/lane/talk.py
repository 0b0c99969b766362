"""A call in which the client has more than one message to say.

    async with channel.talk(path) as call:
        await call.send(message)
        async for messages in call.batches(): ...

One task may send while another reads. What was said is kept, up to ``Limits.replay_bytes`` and
until the answer begins, for a server that turns out not to have looked at the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.exceptions import StreamClosedError

from api.lane.response import ResponseStream
from api.lane.status import RpcError, UnprocessedError
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from api.lane.dial import ClientConnection
    from api.lane.metadata import Header
    from api.lane.stream import Stream


class Talk(ResponseStream):
    """A client-streaming or bidirectional call in progress; made by ``Channel.talk``."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[ClientConnection]],
        headers: list[Header],
        *,
        timeout_s: float | None,
        replay_bytes: int,
    ) -> None:
        super().__init__(connect, headers, [], timeout_s=timeout_s)
        self._requests_ended = False
        self._replay_left_bytes = replay_bytes

    async def send(self, request: Message | bytes | Framed) -> bool:
        """Send a message, or a batch; False if the server takes no more: reading tells why.

        Waits while the server reads slower than we write. If this is cancelled a part may be
        sent, and the call can only be left.

        Raises:
            ValueError: after :meth:`end_requests`.
        """
        if self._requests_ended:
            raise ValueError("send request: the requests of this call have ended")
        data = _framed(request)
        async with self._starting:
            # While the call is sent again, all that was said so far goes first.
            stream = self._open_stream
            self._remember(data)
        try:
            if stream.ended:
                return False
            await stream.send(data)
        except UnprocessedError as error:
            return await self._sent_again(stream, error)
        except (RpcError, StreamClosedError):
            return False
        return True

    def end_requests(self) -> None:
        """Say that this was all; the server may still answer."""
        self._requests_ended = True
        if self._connection is None or self._starting.locked():
            # Starting will say so.
            return
        stream = self._open_stream
        if stream.ended or stream.error is not None or self._connection.closed:
            return
        try:
            self._connection.end_stream(stream.stream_id)
        except StreamClosedError:
            # The server has ended the call already.
            return

    async def _sent_again(self, refused: Stream, error: UnprocessedError) -> bool:
        """Send the call again with all that was said, the last request included."""
        try:
            await self._restart(refused, error)
        except RpcError:
            return False
        return True

    def _remember(self, data: bytes) -> None:
        if self._requests is None:
            return
        self._replay_left_bytes -= len(data)
        if self._replay_left_bytes < 0 or self._open_stream.headers is not None:
            self._requests = None
        else:
            self._requests.append(data)


def _framed(request: Message | bytes | Framed) -> bytes:
    if isinstance(request, Framed):
        return request.data
    return frame(request if isinstance(request, bytes) else request.SerializeToString())
