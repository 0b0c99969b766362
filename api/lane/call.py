"""One call on the server: what a method sees, and how its outcome becomes a status.

A ``Method`` gets a :class:`Call`, receives messages from it, sends batches to it and returns; or
raises RpcError. It is cancelled when the client cancels, disconnects or the deadline passes, and
then must not wait for long. Methods are usually made from a service by ``service.service_methods``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from h2.exceptions import StreamClosedError

from api.lane.metadata import Header, Metadata, decode_metadata, decode_timeout, encode_metadata
from api.lane.status import Code, RpcError, encode_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.lane.stream import Stream
    from api.lane.wire import Framed

_log = logging.getLogger(__name__)
RESPONSE_HEADERS: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc")]


class CallOwner(Protocol):
    """What a call needs of its connection."""

    peer: str

    def peer_certificate(self) -> Mapping[str, object] | None:
        """Return the client's verified certificate, None without mTLS."""

    def send_headers(self, stream_id: int, headers: list[Header], *, end: bool = False) -> None:
        """Write a header block."""

    def count_sent(self, message_count: int) -> None:
        """Count messages handed to the transport."""


class Call:
    """A call in progress, as its method sees it.

    ``deadline`` is a time of the running loop's clock, None without one; it is enforced by the
    server. ``peer`` is ``127.0.0.1:51422`` or ``unix:``.
    """

    def __init__(
        self,
        owner: CallOwner,
        stream: Stream,
        headers: list[Header],
        *,
        initial_metadata: Metadata,
    ) -> None:
        self._owner = owner
        self._stream = stream
        fields = dict(headers)
        self.path = fields.get(b":path", b"").decode("latin-1")
        self.peer = owner.peer
        self._initial: list[Header] = encode_metadata(initial_metadata)
        self._trailing: list[Header] = []
        self.headers_sent = False
        stream.set_encoding(fields.get(b"grpc-encoding", b"identity").decode("latin-1"))
        self.metadata = decode_metadata(headers)
        self.deadline: float | None = None
        if b"grpc-timeout" in fields:
            timeout_s = decode_timeout(fields[b"grpc-timeout"])
            self.deadline = asyncio.get_running_loop().time() + timeout_s

    @property
    def peer_certificate(self) -> Mapping[str, object] | None:
        """The client's verified certificate as ``ssl.SSLSocket.getpeercert`` shows it, or None."""
        return self._owner.peer_certificate()

    def set_initial_metadata(self, metadata: Metadata) -> None:
        """Add metadata to what goes before the first message.

        Raises:
            ValueError: metadata that cannot travel, or the headers are sent already.
        """
        if self.headers_sent:
            raise ValueError(f"set initial metadata: headers are already sent: {self.path}")
        self._initial += encode_metadata(metadata)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """Add metadata to what goes with the status. Raises ValueError if it cannot travel."""
        self._trailing += encode_metadata(metadata)

    async def receive(self) -> bytes | None:
        """Return the next request message, None after the last.

        Raises:
            RpcError: the message is too large, compressed or cut off, or the stream failed.
        """
        if await self._stream.receive():
            return self._stream.one_message()
        return None

    def send_headers(self) -> None:
        """Send the initial metadata now, not with the first message."""
        if not self.headers_sent:
            self.headers_sent = True
            self._owner.send_headers(self._stream.stream_id, self._response_headers())

    async def send(self, batch: Framed) -> None:
        """Send a batch; waits while the client reads slower than we write.

        If this is cancelled a part is sent, and the call can only be ended.

        Raises:
            RpcError: the stream failed.
        """
        self.send_headers()
        await self._stream.send(batch.data)
        self._owner.count_sent(batch.count)

    def end(self, error: RpcError | None) -> None:
        """Send the status; the only header block if nothing was sent before (trailers-only)."""
        block = [] if self.headers_sent else self._response_headers()
        self.headers_sent = True
        block += [*status_headers(error), *self._trailing]
        self._owner.send_headers(self._stream.stream_id, block, end=True)

    def _response_headers(self) -> list[Header]:
        return [*RESPONSE_HEADERS, *self._initial]


Method = Callable[[Call], Awaitable[None]]


def status_headers(error: RpcError | None) -> list[Header]:
    """Return ``grpc-status`` and what goes with it."""
    if error is None:
        return [(b"grpc-status", b"0")]
    headers = [(b"grpc-status", str(int(error.code)).encode())]
    if error.message:
        headers.append((b"grpc-message", encode_message(error.message).encode()))
    if error.details:
        (details,) = encode_metadata((("details-bin", error.details),))
        headers.append((b"grpc-status-details-bin", details[1]))
    if error.code == Code.UNIMPLEMENTED:
        # Tells a client that compressed its request what would have been taken.
        headers.append((b"grpc-accept-encoding", b"identity"))
    try:
        return headers + encode_metadata(error.trailing)
    except ValueError:
        _log.exception("drop trailing metadata: code=%s", error.code.name)
        return headers


def refusal_of(headers: list[Header]) -> list[Header] | None:
    """Return the HTTP answer to a request that is not gRPC, None if it is."""
    fields = dict(headers)
    if fields.get(b":method") != b"POST":
        return [(b":status", b"405"), (b"allow", b"POST")]
    kind = fields.get(b"content-type", b"")
    if kind.split(b"+")[0].split(b";")[0].strip() != b"application/grpc":
        return [(b":status", b"415"), (b"accept-post", b"application/grpc")]
    return None


async def run_method(method: Method, call: Call) -> RpcError | None:
    """Run a method within the call's deadline; return what it failed with.

    Cancelling passes through to the method and out again.
    """
    timeout = asyncio.timeout_at(call.deadline)
    try:
        async with timeout:
            await method(call)
    except RpcError as error:
        return error
    except StreamClosedError:
        return RpcError(Code.CANCELLED, "stream closed by the client")
    except Exception:
        if timeout.expired():
            return RpcError(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
        _log.exception("serve call: path=%s peer=%s", call.path, call.peer)
        return RpcError(Code.UNKNOWN, "internal error")
    return None
