"""One socket of a connection: bytes in by turns, bytes out within bounds, and its end.

    socket -> data_received -> receive (what ``Connection`` makes of bytes), again if some are left
    write  -> transport; a peer for whom answers pile up does not read, and is cut
    finish -> on_end -> flush, linger where asked, cut after ``close_s``

One read of a hostile peer can hold work for 20 ms. ``receive`` does a turn's worth and says whether
something is left: then the socket is not read until ``Turns`` have dealt with it. Knows nothing of
HTTP/2.
"""

from __future__ import annotations

import asyncio
import select
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

from api.lane.alert import alert_text
from api.lane.guard import Refusal

if TYPE_CHECKING:
    from ssl import SSLObject

    from api.lane.limits import Limits
    from api.lane.status import RpcError
    from api.lane.turns import Turns

# Heads and payloads of so many frames of 16 KiB are joined: what is larger gets fresh pages from
# the kernel, which cost more than the copy.
_JOINED_PARTS = 8


class Link(asyncio.Protocol, ABC):
    """The half of a connection that faces the socket; ``Connection`` is the other."""

    client_side: ClassVar[bool]

    def __init__(self, limits: Limits, turns: Turns) -> None:
        self.limits = limits
        self._turns = turns
        self.closed = False
        self.end_reason = ""
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._paused = False
        self._turn_due = False
        self._is_lost = False
        self._gathers = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._tls: SSLObject | None = None

    # What the other half does.

    def on_open(self) -> None:
        """Say hello: the socket can be written to."""

    @abstractmethod
    def receive(self, data: bytes) -> bool:
        """Take bytes for one turn; False if some are left, and ``receive(b"")`` shall follow.

        Not called once :attr:`closed`.
        """

    def on_writable(self) -> None:
        """Let those go on who waited for the transport."""

    def on_end(self, error: RpcError | None) -> None:
        """Fail what is in progress, with this error or one that tells :attr:`end_reason`."""

    def on_refused(self, reason: Refusal) -> None:
        """Count a peer, or a stream, that was turned away."""

    def on_lost(self) -> None:
        """Note that the socket is closed."""

    # The socket's events.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, unless TLS agreed on something else than HTTP/2."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only where the socket names its protocol; accepted ones may not.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.set_write_buffer_limits(high=self.limits.write_high_bytes)
        self._tls = transport.get_extra_info("ssl_object")
        # uvloop does. asyncio joins too, and from 3.12 on forgot to pause for a while; TLS would
        # make a record of each part.
        self._gathers = self._tls is None and not isinstance(transport, asyncio.Transport)
        if self._tls is not None and self._tls.selected_alpn_protocol() != "h2":
            self.on_refused(Refusal.ALPN)
            self.finish("peer did not select h2 by ALPN")
            return
        self._timer = self._loop.call_later(self.limits.handshake_s, self._handshake_late)
        self.on_open()

    def data_received(self, data: bytes) -> None:
        """Take what the socket gave.

        An exception here is our bug: asyncio logs it and closes the socket.
        """
        self.heard_at = self._loop.time()
        if self.closed or self.receive(data) or self._turn_due:
            return
        if not self._turns.add(self._next_turn):
            self.on_refused(Refusal.OVERLOAD)
            self.finish("too many connections have sent more than can be worked on")
            return
        self._turn_due = True
        self._transport.pause_reading()

    def _next_turn(self) -> bool:
        """Work on what is left of a read; True when that is all, and the socket is read again."""
        if not self.closed and self._is_left():
            self._transport.abort()
            self.finish("EOF")
        try:
            is_done = self.closed or self.receive(b"")
        except BaseException:
            self._transport.abort()
            raise
        if is_done:
            self._turn_due = False
            if not (self._is_lost or self._transport.is_closing()):
                self._transport.resume_reading()
        return is_done

    def _is_left(self) -> bool:
        """Return whether a client has hung up, which a socket that is not read does not tell.

        Clients do not half-close: what is left of one that is gone is of no use to anybody.
        """
        sock = self._transport.get_extra_info("socket")
        if self.client_side or sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def eof_received(self) -> bool:
        """Close: gRPC peers do not half-close the socket."""
        return False

    def pause_writing(self) -> None:
        """Note that the peer reads slower than we write; handlers wait in ``send``."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let the handlers go on."""
        self._paused = False
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is left."""
        self._is_lost = True
        if self.client_side and self._turn_due and not self.closed:
            # The end of an answer may be in it. What a client is gone from is of no use.
            while not self.receive(b""):
                pass
        self.finish("EOF" if exc is None else alert_text(exc) or str(exc) or type(exc).__name__)
        self._stop_timer()
        self.on_lost()

    # Sending.

    def write(self, data: bytes) -> None:
        """Write bytes whose amount the caller has bounded; nothing once the socket is lost."""
        if not self._is_lost:
            self._transport.write(data)

    def write_parts(self, parts: list[bytes | memoryview]) -> None:
        """Write bytes in pieces, from where they lie if the transport can."""
        if self._gathers:
            if not self._is_lost:
                self._transport.writelines(parts)
            return
        for first in range(0, len(parts), _JOINED_PARTS):
            self.write(b"".join(parts[first : first + _JOINED_PARTS]))

    def write_control(self, data: bytes) -> None:
        """Write what answers the peer; one who asks and does not read is cut."""
        self.write(data)
        limits = self.limits
        bound = limits.write_high_bytes + limits.write_chunk_bytes + limits.control_backlog_bytes
        if self._paused and self._transport.get_write_buffer_size() > bound:
            self.on_refused(Refusal.BACKLOG)
            self.finish("peer does not read")

    # The end.

    def finish(self, reason: str, *, error: RpcError | None = None, linger: bool = False) -> None:
        """End all calls and close the transport; the second time nothing happens.

        The kernel resets a socket that is closed with unread bytes, and the peer then loses what
        it had not read yet. Lingering, we say that this was all, and read until the peer hangs up.
        """
        if self.closed:
            return
        self.closed = True
        self.end_reason = reason
        self._stop_timer()
        self.on_end(error)
        if linger and self._transport.can_write_eof():
            self._transport.write_eof()
        elif not linger:
            self._transport.close()
        # A peer that does not read would keep a closing transport for ever.
        longest_s = self.limits.handshake_s if linger else self.limits.close_s
        self._timer = self._loop.call_later(
            self.limits.close_s, self._cut, self._loop.time() + longest_s
        )

    def _cut(self, latest: float) -> None:
        """End a closing connection, unless the peer still reads what was sent, and says so."""
        now = self._loop.time()
        until = min(self.heard_at + self.limits.close_s, latest)
        if now < until:
            self._timer = self._loop.call_at(until, self._cut, latest)
        else:
            self._transport.abort()

    def _handshake_late(self) -> None:
        self.on_refused(Refusal.HANDSHAKE_TIMEOUT)
        self.finish("no HTTP/2 SETTINGS in time")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
