"""The lane's client: a channel to one server, and calls on it.

A channel connects with its first call and again when the connection was lost or is draining; the
calls in progress on a draining connection end in peace. There is no retry: who calls knows better.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from api.lane.address import TcpAddress, parse_address
from api.lane.dial import ClientConnection, dial
from api.lane.limits import Limits
from api.lane.metadata import Header, Metadata, encode_metadata, encode_timeout
from api.lane.response import ResponseStream
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["Channel", "Reply", "ResponseStream"]

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

    ``metadata`` goes with every call. With ``ssl`` the server must select h2 by ALPN (the context
    is set so), and ``server_name`` is the name its certificate is checked for, by default the
    host of the target. ``connect_timeout_s`` bounds dialling, by default ``Limits.handshake_s``.

    Raises:
        ValueError: a target that cannot be read, or metadata that cannot travel.
    """

    def __init__(
        self,
        target: str,
        *,
        ssl: SSLContext | None = None,
        server_name: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        metadata: Metadata = (),
        connect_timeout_s: float | None = None,
    ) -> None:
        self.target = target
        self._address = parse_address(target)
        self._ssl = ssl
        self._server_name = server_name
        self._limits = limits
        self._timeout_s = limits.handshake_s if connect_timeout_s is None else connect_timeout_s
        self._metadata = encode_metadata(metadata)
        self._connection: ClientConnection | None = None
        self._connections: set[ClientConnection] = set()
        self._dialing = asyncio.Lock()
        self._closed = False
        if ssl is not None:
            ssl.set_alpn_protocols(["h2"])

    async def unary(
        self,
        path: str,
        request: Message,
        response_type: type[M],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> M:
        """Call ``/package.Service/Method`` and return its answer.

        Raises:
            RpcError: any outcome but OK with one message; UNAVAILABLE if there is no server.
        """
        reply = await self.unary_reply(
            path, request, response_type, timeout_s=timeout_s, metadata=metadata
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
    ) -> Reply[M]:
        """Call like :meth:`unary`, and return the metadata of the answer too."""
        messages: list[bytes] = []
        stream = self.server_stream(path, request, timeout_s=timeout_s, metadata=metadata)
        async with stream:
            async for batch in stream.batches():
                messages += batch
            if len(messages) != 1:
                text = f"cardinality violation: expected one response message, got {len(messages)}"
                raise RpcError(Code.INTERNAL, text)
            return Reply(
                message=_parse(messages[0], response_type),
                initial_metadata=stream.initial_metadata,
                trailing_metadata=stream.trailing_metadata,
            )

    def server_stream(
        self,
        path: str,
        request: bytes | Message,
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> ResponseStream:
        """Return a call to a streaming method; it starts on ``async with``.

        Raises:
            ValueError: metadata that cannot travel.
        """
        data = request if isinstance(request, bytes) else request.SerializeToString()
        headers = self._headers(path, timeout_s, metadata)
        return ResponseStream(self._connect, headers, data, timeout_s=timeout_s)

    async def close(self) -> None:
        """End all calls with UNAVAILABLE and close; the channel cannot be used again."""
        self._closed = True
        for connection in list(self._connections):
            connection.close("the client connection is closing")
        for connection in list(self._connections):
            await connection.lost.wait()
        self._connections.clear()

    async def _connect(self) -> ClientConnection:
        """Return the connection for a new call, dialling if there is none."""
        async with self._dialing:
            if self._closed:
                raise RpcError(Code.CANCELLED, "grpc: the client connection is closing")
            if self._connection is None or not self._connection.usable:
                self._connections = {each for each in self._connections if not each.lost.is_set()}
                self._connection = await dial(
                    self._address,
                    limits=self._limits,
                    timeout_s=self._timeout_s,
                    tls=self._ssl,
                    server_name=self._server_name,
                )
                self._connections.add(self._connection)
            return self._connection

    def _headers(self, path: str, timeout_s: float | None, metadata: Metadata) -> list[Header]:
        is_tcp = isinstance(self._address, TcpAddress)
        authority = self._server_name or (str(self._address) if is_tcp else "localhost")
        timeout = [] if timeout_s is None else [(b"grpc-timeout", encode_timeout(timeout_s))]
        return [
            (b":method", b"POST"),
            (b":scheme", b"http" if self._ssl is None else b"https"),
            (b":path", path.encode("ascii")),
            (b":authority", authority.encode("ascii", "replace")),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", _USER_AGENT),
            *timeout,
            *self._metadata,
            *encode_metadata(metadata),
        ]


def _parse(data: bytes, response_type: type[M]) -> M:
    try:
        return response_type.FromString(data)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"grpc: failed to unmarshal the message: {error}") from error
