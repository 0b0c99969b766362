"""The lane's server: listens, runs a method per call, drains.

    listen -> ServerConnection per client -> a task per call -> Method

A task belongs to its stream: it is cancelled when the stream fails and forgotten when it ends, so
``max_streams`` bounds the handlers that run, those that are still being cancelled included.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from api.lane.address import TcpAddress, UnixAddress, parse_address
from api.lane.call import RESPONSE_HEADERS, Call, Method, refusal_of, run_method, status_headers
from api.lane.conn import MAX_STREAM_ID, Connection
from api.lane.guard import NO_ERROR, REFUSED_STREAM, Refusal
from api.lane.limits import SERVER_LIMITS, Limits
from api.lane.listen import bound_address, listening_socket
from api.lane.status import Code, RpcError
from api.lane.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from ssl import SSLContext

    from h2 import events

    from api.lane.metadata import Header, Metadata

__all__ = ["Call", "Method", "Server", "Statistics"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counters of a server since its start; ``_open`` ones are of now."""

    connections_open: int
    connections_total: int
    calls_open: int
    calls_total: int
    messages_sent: int
    refused: Mapping[Refusal, int]


@dataclass(slots=True, kw_only=True)
class _Counters:
    connections: int = 0
    calls: int = 0
    messages_sent: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)


class Server:
    """Serves methods on any number of addresses.

    ``initial_metadata`` goes with every call's response headers, a version for example.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        limits: Limits = SERVER_LIMITS,
        initial_metadata: Metadata = (),
    ) -> None:
        self.methods = dict(methods)
        self.services = frozenset(path.split("/")[1] for path in self.methods)
        self.limits = limits
        self.initial_metadata = initial_metadata
        self.connections: set[ServerConnection] = set()
        self.counters = _Counters()
        self._listeners: list[asyncio.Server] = []
        self._unix_paths: list[tuple[Path, int]] = []
        self._idle = asyncio.Event()

    async def listen(self, address: str, *, ssl: SSLContext | None = None) -> str:
        """Accept connections on an address; return it with the port that was bound.

        With ``ssl`` only clients that select h2 by ALPN are served; the context is set so.

        Raises:
            OSError: the address cannot be bound; the text names it.
            ValueError: the address cannot be read.
        """
        sock = listening_socket(parse_address(address))
        bound = bound_address(sock)
        if isinstance(bound, UnixAddress):
            self._unix_paths.append((bound.path, bound.path.stat().st_ino))
        if ssl is not None:
            ssl.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        is_unix = isinstance(bound, UnixAddress)
        create = loop.create_unix_server if is_unix else loop.create_server
        listener = await create(
            partial(ServerConnection, self),
            sock=sock,
            ssl=ssl,
            ssl_handshake_timeout=None if ssl is None else self.limits.handshake_s,
        )
        self._listeners.append(listener)
        return str(bound)

    async def stop(self, grace_s: float) -> None:
        """Accept no more, let calls end for ``grace_s``, end the rest with UNAVAILABLE.

        Takes at most the grace time and three times ``Limits.close_s``. If cancelled, it ends all
        connections at once.
        """
        for listener in self._listeners:
            listener.close()
        self._remove_unix_sockets()
        for connection in list(self.connections):
            connection.drain()
        try:
            await self._wait_idle(grace_s)
            await self._cancel_calls()
        finally:
            for connection in list(self.connections):
                connection.close("server is shutting down")
        # A peer that does not read is cut after close_s: this sees it go.
        await self._wait_idle(2 * self.limits.close_s)

    def statistics(self) -> Statistics:
        """Return the counters of now."""
        return Statistics(
            connections_open=len(self.connections),
            connections_total=self.counters.connections,
            calls_open=sum(len(connection.streams) for connection in self.connections),
            calls_total=self.counters.calls,
            messages_sent=self.counters.messages_sent,
            refused=dict(self.counters.refused),
        )

    def connection_closed(self, connection: ServerConnection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._idle.set()

    async def _wait_idle(self, timeout_s: float) -> None:
        """Wait until the last connection is gone, or the time is over."""
        self._idle.clear()
        if not self.connections:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return

    async def _cancel_calls(self) -> None:
        """Cancel the calls that are left; each still sends its status."""
        streams = [stream for each in self.connections for stream in each.streams.values()]
        tasks = [stream.task for stream in streams if stream.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.limits.close_s)
            if late:
                _log.warning("stop server: calls that ignore cancelling count=%d", len(late))

    def _remove_unix_sockets(self) -> None:
        for path, inode in self._unix_paths:
            # Not if somebody else has put a socket there since.
            if path.exists() and path.stat().st_ino == inode:
                path.unlink()
        self._unix_paths.clear()


class ServerConnection(Connection):
    """A client's connection: starts a task for each request."""

    client_side = False
    peer_role = "client"

    def __init__(self, server: Server) -> None:
        super().__init__(server.limits)
        self._server = server
        self._ready = False
        self._drain_asked = False
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the client and start."""
        self._server.connections.add(self)
        self._server.counters.connections += 1
        name = transport.get_extra_info("peername")
        # A unix client has no name of its own, or an empty one.
        is_ip = isinstance(name, tuple)
        self.peer = str(TcpAddress(host=name[0], port=name[1])) if is_ip else "unix:"
        super().connection_made(transport)

    def peer_certificate(self) -> Mapping[str, object] | None:
        """Return the client's verified certificate, None without mTLS."""
        tls = self._transport.get_extra_info("ssl_object")
        return None if tls is None else (tls.getpeercert() or None)

    def drain(self) -> None:
        """Ask the client to go: GOAWAY, and after a round trip the last stream that counts."""
        if self.closed or self._drain_asked:
            return
        self._drain_asked = True
        if not self._ready:
            self.close("server is shutting down")
            return
        # Requests that cross this on the wire are still served: the final GOAWAY follows the ack.
        self.write_goaway(MAX_STREAM_ID, NO_ERROR, b"graceful_stop")
        self.ping()

    def on_ready(self) -> None:
        """Note that the client speaks HTTP/2."""
        self._ready = True

    def on_ping_ack(self) -> None:
        """Finish what :meth:`drain` began."""
        if self._drain_asked and not self.draining:
            self.draining = True
            self.write_goaway(self._h2.highest_inbound_stream_id, NO_ERROR, b"graceful_stop")
            self.close_if_drained()

    def on_refused(self, reason: Refusal) -> None:
        """Count it."""
        self._server.counters.refused[reason] += 1
        _log.info("refuse peer: reason=%s peer=%s", reason, self.peer)

    def on_lost(self) -> None:
        """Tell the server."""
        self._server.connection_closed(self)

    def count_sent(self, message_count: int) -> None:
        """Count messages handed to the transport."""
        self._server.counters.messages_sent += message_count

    def on_request(self, event: events.RequestReceived) -> None:
        """Start a call, unless there are too many."""
        stream_id = event.stream_id or 0
        if self.draining or len(self.streams) >= self.limits.max_streams:
            self.on_refused(Refusal.DRAINING if self.draining else Refusal.STREAM_LIMIT)
            self.reset(stream_id, REFUSED_STREAM)
            self._intake.resets.count()
            return
        self._server.counters.calls += 1
        stream = Stream(self, stream_id)
        self.streams[stream_id] = stream
        # A TaskGroup cannot be entered in a protocol callback, and one call's failure must not end
        # the others: the stream holds its task, and _serve lets nothing but cancelling out.
        stream.task = self._loop.create_task(self._serve(stream, list(event.headers or ())))
        stream.task.add_done_callback(partial(self._call_ended, stream))

    async def _serve(self, stream: Stream, headers: list[Header]) -> None:
        """Run the call and send its status; the root of the call's task."""
        refusal = refusal_of(headers)
        if refusal is not None:
            self.send_headers(stream.stream_id, refusal, end=True)
            return
        call: Call | None = None
        try:
            call = Call(self, stream, headers, initial_metadata=self._server.initial_metadata)
            error = await run_method(self._method(call.path), call)
        except RpcError as refused:
            error = refused
        except asyncio.CancelledError:
            if stream.error is not None or self.closed:
                raise
            error = RpcError(Code.UNAVAILABLE, "server is shutting down")
        if stream.error is not None or self.closed:
            return
        if call is not None:
            call.end(error)
        else:
            block = [*RESPONSE_HEADERS, *status_headers(error)]
            self.send_headers(stream.stream_id, block, end=True)

    def _method(self, path: str) -> Method:
        method = self._server.methods.get(path)
        if method is not None:
            return method
        service, _, name = path.removeprefix("/").partition("/")
        if service in self._server.services:
            text = f"unknown method {name} for service {service}"
        else:
            text = f"unknown service {service}"
        raise RpcError(Code.UNIMPLEMENTED, text)

    def _call_ended(self, stream: Stream, task: asyncio.Task[None]) -> None:
        """Free the stream; also when its task was cancelled before it ran at all."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("end call: peer=%s", self.peer, exc_info=task.exception())
        # What the client still sends of its request is of no use: it may stop.
        self.reset(stream.stream_id, NO_ERROR)
        self.forget(stream)
