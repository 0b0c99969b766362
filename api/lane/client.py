"""The lane's client: a channel to one server, and calls on it.

A channel connects with its first call and again when the connection was lost or is draining; the
calls in progress on a draining connection end in peace. A call that the server says it has not
looked at is sent once more; beyond that there is no retry: who calls knows better.

A call fails at once when there is no server, unless it asks to ``wait_for_ready``: then it waits
until one answers, with growing pauses between attempts, as long as its deadline allows.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from api.lane.address import TcpAddress, parse_address
from api.lane.connector import Connector
from api.lane.limits import Limits
from api.lane.metadata import Header, Metadata, encode_metadata
from api.lane.response import ResponseStream
from api.lane.status import Code, RpcError
from api.lane.talk import Talk
from api.lane.wire import frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable
    from ssl import SSLContext

    from api.lane.tls import TlsSource

__all__ = ["Channel", "Reply", "ResponseStream", "Talk"]

M = TypeVar("M", bound=Message)
_USER_AGENT = b"grpc-python-lane/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[M]):
    """The answer to a unary call with what came around it."""

    message: M
    initial_metadata: Metadata
    trailing_metadata: Metadata


class Channel:
    """Calls to one server over one connection at a time.

    ``metadata`` goes with every call. With ``ssl`` the server must select h2 by ALPN (a context
    is set so; a ``tls.ClientTls`` follows changes of its files), and ``server_name`` is the name
    its certificate is checked for, by default the host of the target. ``connect_timeout_s`` bounds
    dialling, by default ``Limits.handshake_s``. ``random`` gives numbers in [0, 1), for pauses.

    Raises:
        ValueError: a target that cannot be read, or metadata that cannot travel.
    """

    def __init__(
        self,
        target: str,
        *,
        ssl: SSLContext | TlsSource | None = None,
        server_name: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        metadata: Metadata = (),
        connect_timeout_s: float | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.target = target
        self._address = parse_address(target)
        self._is_secure = ssl is not None
        self._server_name = server_name
        self._limits = limits
        self._metadata = encode_metadata(metadata)
        self._connector = Connector(
            self._address,
            tls=ssl,
            server_name=server_name,
            limits=limits,
            timeout_s=limits.handshake_s if connect_timeout_s is None else connect_timeout_s,
            random=random,
        )

    async def unary(
        self,
        path: str,
        request: Message,
        response_type: type[M],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> M:
        """Call ``/package.Service/Method`` and return its answer.

        Raises:
            RpcError: any outcome but OK with one message; UNAVAILABLE if there is no server.
        """
        reply = await self.unary_reply(
            path,
            request,
            response_type,
            timeout_s=timeout_s,
            metadata=metadata,
            wait_for_ready=wait_for_ready,
        )
        return reply.message

    async def unary_reply(
        self,
        path: str,
        request: Message,
        response_type: type[M],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> Reply[M]:
        """Call like :meth:`unary`, and return the metadata of the answer too."""
        call = self.server_stream(
            path, request, timeout_s=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready
        )
        async with call:
            return await _one_reply(call, response_type)

    def server_stream(
        self,
        path: str,
        request: bytes | Message,
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> ResponseStream:
        """Return a call to a streaming method; it starts on ``async with``.

        Raises:
            ValueError: metadata that cannot travel.
        """
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return ResponseStream(
            partial(self._connector.connect, wait=wait_for_ready),
            self._headers(path, metadata),
            [frame(data)],
            timeout_s=timeout_s,
        )

    def talk(
        self,
        path: str,
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> Talk:
        """Return a call to which more than one message can be said; it starts on ``async with``.

        Raises:
            ValueError: metadata that cannot travel.
        """
        return Talk(
            partial(self._connector.connect, wait=wait_for_ready),
            self._headers(path, metadata),
            timeout_s=timeout_s,
            replay_bytes=self._limits.replay_bytes,
        )

    async def client_stream(
        self,
        path: str,
        requests: AsyncIterable[Message | bytes],
        response_type: type[M],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
        wait_for_ready: bool = False,
    ) -> M:
        """Say all requests and return the one answer, which may come before the last of them.

        What the requests themselves raise cancels the call and is passed on.

        Raises:
            RpcError: as :meth:`unary`.
        """
        call = self.talk(
            path, timeout_s=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready
        )
        try:
            async with call, asyncio.TaskGroup() as group:
                saying = group.create_task(_say(call, requests))
                reply = await _one_reply(call, response_type)
                saying.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return reply.message

    async def close(self) -> None:
        """End all calls with UNAVAILABLE and close; the channel cannot be used again."""
        await self._connector.close()

    def _headers(self, path: str, metadata: Metadata) -> list[Header]:
        is_tcp = isinstance(self._address, TcpAddress)
        authority = self._server_name or (str(self._address) if is_tcp else "localhost")
        return [
            (b":method", b"POST"),
            (b":scheme", b"https" if self._is_secure else b"http"),
            (b":path", path.encode("ascii")),
            (b":authority", authority.encode("ascii", "replace")),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", _USER_AGENT),
            *self._metadata,
            *encode_metadata(metadata),
        ]


async def _one_reply(call: ResponseStream, response_type: type[M]) -> Reply[M]:
    messages = [message async for batch in call.batches() for message in batch]
    if len(messages) != 1:
        text = f"cardinality violation: expected one response message, got {len(messages)}"
        raise RpcError(Code.INTERNAL, text)
    return Reply(
        message=_parse(messages[0], response_type),
        initial_metadata=call.initial_metadata,
        trailing_metadata=call.trailing_metadata,
    )


async def _say(call: Talk, requests: AsyncIterable[Message | bytes]) -> None:
    async for request in requests:
        if not await call.send(request):
            return
    call.end_requests()


def _parse(data: bytes, response_type: type[M]) -> M:
    try:
        return response_type.FromString(data)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"grpc: failed to unmarshal the message: {error}") from error
