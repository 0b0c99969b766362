"""A client's connection at the server: a task for each call, and when the connection has to end.

A task belongs to its stream: it is cancelled when the stream fails and forgotten when it ends, so
``max_streams`` bounds the handlers that run, those that are still being cancelled included.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from api.lane.address import TcpAddress
from api.lane.call import RESPONSE_HEADERS, Call, Method, refusal_of, run_method, status_headers
from api.lane.conn import Connection
from api.lane.guard import NO_ERROR, REFUSED_STREAM, PingGuard, Refusal
from api.lane.lifetime import Lifetime
from api.lane.status import Code, RpcError
from api.lane.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from h2 import events

    from api.lane.limits import Limits
    from api.lane.metadata import Header, Metadata
    from api.lane.turns import Turns

_log = logging.getLogger(__name__)
_MAX_STREAM_ID = 2**31 - 1
_DRAIN_PAYLOAD = b"lane-rtt"


@dataclass(slots=True, kw_only=True)
class Counters:
    """What a server has done since its start."""

    connections: int = 0
    calls: int = 0
    messages_sent: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)


class Host(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    methods: dict[str, Method]
    services: frozenset[str]
    initial_metadata: Metadata
    counters: Counters
    connections: set[ServerConnection]
    turns: Turns
    random: Callable[[], float]

    def count_refused(self, reason: Refusal, detail: str) -> None:
        """Count a client, or a call, that was turned away."""

    def connection_closed(self, connection: ServerConnection) -> None:
        """Forget a connection."""


class ServerConnection(Connection):
    """A client's connection: starts a task for each request."""

    client_side = False
    peer_role = "client"

    def __init__(self, host: Host, on_lost: Callable[[ServerConnection], None]) -> None:
        super().__init__(host.limits, host.turns)
        self._host = host
        self._on_lost = on_lost
        self._ready = False
        self._drain_asked = False
        self._drain_reason = ""
        self.peer = ""
        self.idle_since: float | None = self.heard_at
        limits = self.limits
        self._lifetime = Lifetime(self, limits=limits, loop=self._loop, random=host.random)
        self._pings = PingGuard(
            interval_s=limits.min_ping_interval_s,
            max_strikes=limits.max_ping_strikes,
            clock=self._loop.time,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the client and start."""
        self._host.connections.add(self)
        self._host.counters.connections += 1
        name = transport.get_extra_info("peername")
        # A unix client has no name of its own, or an empty one.
        is_ip = isinstance(name, tuple)
        self.peer = str(TcpAddress(host=name[0], port=name[1])) if is_ip else "unix:"
        super().connection_made(transport)

    def peer_certificate(self) -> Mapping[str, object] | None:
        """Return the client's verified certificate, None without mTLS."""
        # A closed transport no longer knows.
        return None if self._tls is None else (self._tls.getpeercert() or None)

    def drain(self, reason: str = "graceful_stop") -> None:
        """Ask the client to go: GOAWAY, and after a round trip the last stream that counts."""
        if self.closed or self._drain_asked:
            return
        self._drain_asked = True
        self._drain_reason = reason
        if not self._ready:
            self.close("server is shutting down")
            return
        # Requests that cross this on the wire are still served: the final GOAWAY follows the ack,
        # or comes by itself where a client would stay by not answering.
        self.write_goaway(_MAX_STREAM_ID, NO_ERROR, reason.encode())
        self.ping(_DRAIN_PAYLOAD)
        self._timer = self._loop.call_later(self.limits.handshake_s, self._drained)

    def on_ready(self) -> None:
        """Note that the client speaks HTTP/2."""
        if not self._ready:
            self._ready = True
            self._lifetime.start()

    def on_ping_ack(self, payload: bytes) -> None:
        """Finish what :meth:`drain` began: its GOAWAY was seen."""
        if payload == _DRAIN_PAYLOAD:
            self._drained()

    def _drained(self) -> None:
        """Say which stream was the last, and close when it ends."""
        if self._drain_asked and not self.draining and not self.closed:
            self.draining = True
            last = self._h2.highest_inbound_stream_id
            self.write_goaway(last, NO_ERROR, self._drain_reason.encode())
            self.close_if_drained()

    def on_ping(self) -> None:
        """Take a flood for what it is."""
        self._pings.count()

    def write_data(self, stream_id: int, data: memoryview) -> None:
        """Write DATA frames in one go."""
        self._pings.forgive()
        super().write_data(stream_id, data)

    def send_headers(self, stream_id: int, headers: Iterable[Header], *, end: bool = False) -> None:
        """Write a header block."""
        self._pings.forgive()
        super().send_headers(stream_id, headers, end=end)

    def on_refused(self, reason: Refusal) -> None:
        """Count it."""
        self._host.count_refused(reason, self.peer)

    def on_lost(self) -> None:
        """Tell the server."""
        self._lifetime.stop()
        self._host.connection_closed(self)
        self._on_lost(self)

    def count_sent(self, message_count: int) -> None:
        """Count messages handed to the transport."""
        self._host.counters.messages_sent += message_count

    def on_request(self, event: events.RequestReceived) -> None:
        """Start a call, unless there are too many."""
        stream_id = event.stream_id or 0
        if self.draining or len(self.streams) >= self.limits.max_streams:
            self.on_refused(Refusal.DRAINING if self.draining else Refusal.STREAM_LIMIT)
            self.reset(stream_id, REFUSED_STREAM)
            self._intake.resets.count()
            return
        self._host.counters.calls += 1
        self.idle_since = None
        stream = Stream(self, stream_id)
        self.streams[stream_id] = stream
        # A TaskGroup cannot be entered in a protocol callback, and one call's failure must not end
        # the others: the stream holds its task, and _serve lets nothing but cancelling out.
        stream.task = self._loop.create_task(self._serve(stream, list(event.headers or ())))
        stream.task.add_done_callback(partial(self._call_ended, stream))

    async def _serve(self, stream: Stream, headers: list[Header]) -> None:
        """Answer a call; the root of its task."""
        try:
            await self._answer(stream, headers)
        finally:
            # At once, not when the loop comes round to the task's end: the client knows that its
            # call is over and may have used the place already.
            self._free(stream)

    async def _answer(self, stream: Stream, headers: list[Header]) -> None:
        """Run the call and send its status."""
        refusal = refusal_of(headers)
        if refusal is not None:
            self.send_headers(stream.stream_id, refusal, end=True)
            return
        call: Call | None = None
        try:
            call = Call(self, stream, headers, initial_metadata=self._host.initial_metadata)
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
        method = self._host.methods.get(path)
        if method is not None:
            return method
        service, _, name = path.removeprefix("/").partition("/")
        if service in self._host.services:
            text = f"unknown method {name} for service {service}"
        else:
            text = f"unknown service {service}"
        raise RpcError(Code.UNIMPLEMENTED, text)

    def _call_ended(self, stream: Stream, task: asyncio.Task[None]) -> None:
        """Free the stream also when its task was cancelled before it ran at all."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("end call: peer=%s", self.peer, exc_info=task.exception())
        self._free(stream)

    def _free(self, stream: Stream) -> None:
        """Drop a stream whose call is over; the second time nothing happens."""
        if self.streams.get(stream.stream_id) is not stream:
            return
        # What the client still sends of its request is of no use: it may stop.
        self.reset(stream.stream_id, NO_ERROR)
        if len(self.streams) == 1:
            self.idle_since = self._loop.time()
        self.forget(stream)
