"""Dialling: an address becomes a connection that is ready for calls, or an RpcError in Go's words.

Every address of a name is tried in turn; what the last one said is reported. A connection is ready
when the server's SETTINGS have come: before that it may be any kind of server.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

from h2 import events

from api.lane.address import TcpAddress, UnixAddress
from api.lane.alert import alert_text
from api.lane.conn import Connection
from api.lane.guard import ENHANCE_YOUR_CALM, NO_ERROR, Refusal
from api.lane.status import Code, RpcError, UnprocessedError
from api.lane.stream import Wakeup
from api.lane.tls import context_of
from api.lane.turns import Turns
from api.lane.wire import data_frames

if TYPE_CHECKING:
    from api.lane.address import Address
    from api.lane.limits import Limits
    from api.lane.metadata import Header
    from api.lane.stream import Stream
    from api.lane.tls import TlsSource

_DIALING = "transport: Error while dialing"
_HANDSHAKE = "transport: authentication handshake failed"


class ClientConnection(Connection):
    """A connection to a server; ``await ready()`` first, then open streams."""

    client_side = True
    peer_role = "server"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, Turns())
        self.lost = asyncio.Event()
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._slot_waiters: list[Wakeup] = []
        self._refusal: Refusal | None = None
        self.pinged_too_often = False

    @property
    def usable(self) -> bool:
        """Whether new calls may start here."""
        return not (self.closed or self.draining)

    async def ready(self) -> None:
        """Wait for the server's SETTINGS.

        Raises:
            RpcError: UNAVAILABLE, the connection ended before.
        """
        await self._settled

    async def next_stream_id(self) -> int:
        """Return the id for a new stream, once the server's limit of streams allows one.

        The id must be used before anything is awaited.

        Raises:
            UnprocessedError: UNAVAILABLE, the connection ended.
        """
        while self.usable and not self._h2.has_free_stream:
            waiter = Wakeup()
            self._slot_waiters.append(waiter)
            try:
                await waiter.wait()
            finally:
                self._slot_waiters.remove(waiter)
        if not self.usable:
            raise UnprocessedError(Code.UNAVAILABLE, "the connection is draining")
        return self._h2.get_next_available_stream_id()

    def wants_keepalive(self) -> bool:
        """Return whether a silent server shall be asked for life: with calls, or if told so."""
        return bool(self.streams) or self.limits.keepalive_without_calls

    def on_goaway(self, last_stream_id: int, error_code: int, debug: bytes) -> None:
        """Open no more streams here, and note what the server thinks of our keepalive."""
        if error_code == ENHANCE_YOUR_CALM and debug == b"too_many_pings":
            self.pinged_too_often = True
        super().on_goaway(last_stream_id, error_code, debug)
        # Those who wait for a free stream go elsewhere.
        self._notify_slots()

    def send_request(self, stream_id: int, headers: list[Header], data: bytes, *, end: bool) -> int:
        """Write a request's headers and as much of its messages as there is room for, at once.

        A server that sees a whole request in one read need not tell us to stop sending. Returns
        how many bytes of ``data`` were written; if all, with ``end`` the request is ended.
        """
        self._h2.send_headers(stream_id, headers)
        room = self.send_room(stream_id)
        view = memoryview(data)[: max(room, 0)]
        parts: list[bytes | memoryview] = [self._h2.data_to_send()]
        if view:
            self._h2.spend_window(stream_id, len(view))
            parts += data_frames(stream_id, view, self._h2.max_outbound_frame_size)
        if end and len(view) == len(data):
            self._h2.end_stream(stream_id)
            parts.append(self._h2.data_to_send())
        self.write(b"".join(parts))
        return len(view)

    def forget(self, stream: Stream) -> None:
        """Drop a stream and let the next call in."""
        super().forget(stream)
        self._notify_slots()

    def on_ready(self) -> None:
        """Note the server's SETTINGS, the first and later ones."""
        if not self._settled.done():
            self._settled.set_result(None)
        self._notify_slots()

    def on_lost(self) -> None:
        """Tell those who wait."""
        self.lost.set()
        self._notify_slots()
        if not self._settled.done():
            self._settled.set_exception(connection_error(self._early_end()))
            # Nobody may be waiting, after a cancelled dial.
            self._settled.exception()

    def on_refused(self, reason: Refusal) -> None:
        """Keep the reason, for the error of those who wait."""
        self._refusal = reason

    def _part_received(self, stream: Stream, event: events.Event) -> None:
        """Take a part of the answer; after the last one the rest of the request is of no use."""
        super()._part_received(stream, event)
        if isinstance(event, events.StreamEnded):
            self.reset(stream.stream_id, NO_ERROR)

    def _early_end(self) -> str:
        match self._refusal:
            case None:
                return f"error reading server preface: {self.end_reason}"
            case Refusal.ALPN:
                return f"{_HANDSHAKE}: cannot check peer: missing selected ALPN property"
            case _:
                return f"error reading server preface: {self._refusal}"

    def _notify_slots(self) -> None:
        for waiter in self._slot_waiters:
            waiter.notify()


def connection_error(text: str) -> RpcError:
    """Return the error of a connection that could not be made, in grpc-go's wrapping."""
    return RpcError(Code.UNAVAILABLE, f'connection error: desc = "{text}"')


async def dial(
    address: Address,
    *,
    limits: Limits,
    timeout_s: float,
    tls: ssl.SSLContext | TlsSource | None,
    server_name: str | None,
) -> ClientConnection:
    """Return a connection to an address that is ready for calls.

    Cancelling closes what was begun.

    Raises:
        RpcError: UNAVAILABLE, with the reason and the address that was tried last.
    """
    context = None if tls is None else context_of(tls)
    try:
        async with asyncio.timeout(timeout_s):
            if isinstance(address, UnixAddress):
                return await _dial_unix(address, limits, context, server_name)
            return await _dial_tcp(address, limits, context, server_name)
    except TimeoutError:
        raise connection_error(f"{_DIALING}: dial {_shown(address)}: i/o timeout") from None


async def _dial_unix(
    address: UnixAddress, limits: Limits, tls: ssl.SSLContext | None, server_name: str | None
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    path = str(address.path)
    name = (server_name or "localhost") if tls else None
    make = partial(loop.create_unix_connection, path=path, ssl=tls, server_hostname=name)
    try:
        _, connection = await make(partial(ClientConnection, limits))
    except OSError as error:
        raise connection_error(_dial_text(address, error)) from error
    return await _settled(connection)


async def _dial_tcp(
    address: TcpAddress, limits: Limits, tls: ssl.SSLContext | None, server_name: str | None
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    name = (server_name or address.host) if tls else None
    failure: RpcError | None = None
    for host in await _resolve(address):
        target = TcpAddress(host=host, port=address.port)
        make = partial(loop.create_connection, host=host, ssl=tls, server_hostname=name)
        try:
            _, connection = await make(partial(ClientConnection, limits), port=address.port)
            return await _settled(connection)
        except OSError as error:
            failure = connection_error(_dial_text(target, error))
        except RpcError as error:
            failure = error
    if failure is None:
        raise connection_error(f"{_DIALING}: dial tcp: lookup {address.host}: no such host")
    raise failure


async def _resolve(address: TcpAddress) -> list[str]:
    """Return the IP addresses of a host, in the system's order; an empty host is this machine."""
    loop = asyncio.get_running_loop()
    host = address.host or "localhost"
    try:
        found = await loop.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        text = f"{_DIALING}: dial tcp: lookup {host}: no such host"
        raise connection_error(text) from error
    return [str(name[0]) for _, _, _, _, name in found]


async def _settled(connection: ClientConnection) -> ClientConnection:
    try:
        await connection.ready()
    except BaseException:
        connection.close("dialling was given up")
        raise
    return connection


def _dial_text(address: Address, error: OSError) -> str:
    """Return why dialling failed as Go would say it."""
    if isinstance(error, ssl.SSLError):
        text = alert_text(error) or error.reason or str(error)
        if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
            # unknown authority, other name, expired: the reason is the same for all
            text = f"{text}: {error.verify_message.rstrip('.')}"
        return f"{_HANDSHAKE}: {text}"
    if not str(error):
        # asyncio's word for a server that hung up in the handshake.
        return f"{_HANDSHAKE}: EOF"
    known = error.errno is not None and error.errno > 0
    reason = os.strerror(error.errno or 0) if known else str(error)
    # Go's texts are C's with a small first letter: "connection refused".
    return f"{_DIALING}: dial {_shown(address)}: connect: {reason[:1].lower()}{reason[1:]}"


def _shown(address: Address) -> str:
    if isinstance(address, UnixAddress):
        return f"unix {address.path}"
    return f"tcp {address}"
