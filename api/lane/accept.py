"""Accepting: what comes to a listening socket becomes a connection, by TLS where asked for.

Each listening socket has its own bound of connections, handshakes included, and its own context
for each handshake, so that new certificates count at once. asyncio's own servers can do neither:
they know nothing of a client before its handshake is over.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Protocol

from api.lane.alert import HandshakeRefusedError, send_alert
from api.lane.guard import Refusal
from api.lane.tls import context_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from ssl import SSLContext

    from api.lane.limits import Limits
    from api.lane.serving import ServerConnection
    from api.lane.tls import TlsSource

_log = logging.getLogger(__name__)
_NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BREATHER_S = 0.1
_HUNG_UP = "client hung up in the handshake"


class Reception(Protocol):
    """What an acceptor needs of the server."""

    limits: Limits

    def new_connection(self, on_lost: Callable[[ServerConnection], None]) -> ServerConnection:
        """Return the protocol for a client; it calls ``on_lost`` when its socket is closed."""

    def count_refused(self, reason: Refusal, detail: str) -> None:
        """Count a client that was turned away; ``detail`` says who or why."""


class Acceptor:
    """Takes clients from one listening socket, from :meth:`start` to :meth:`close`."""

    def __init__(
        self, sock: socket.socket, server: Reception, *, tls: SSLContext | TlsSource | None
    ) -> None:
        self._sock = sock
        self._server = server
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._inside: set[ServerConnection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        # Clients whose task has not begun: nobody else would close them.
        self._new: set[socket.socket] = set()

    def start(self) -> None:
        """Begin to accept."""
        # A task outlives this call, and a listener that fails must not end the others' calls: the
        # acceptor holds it, and _accept lets nothing but cancelling out.
        self._hold(self._loop.create_task(self._accept()))

    def stop(self) -> None:
        """Accept no more, give up the handshakes in progress; connections stay."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop, and close the socket."""
        self.stop()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for sock in (self._sock, *self._new):
                sock.close()

    async def _accept(self) -> None:
        while True:
            try:
                client, _ = await self._loop.sock_accept(self._sock)
            except OSError as error:
                await self._after(error)
                continue
            if len(self._inside) < self._server.limits.max_connections:
                self._admit(client)
            else:
                self._server.count_refused(Refusal.CONNECTION_LIMIT, "")
                client.close()
            # A socket that is ready makes nobody wait: without this a crowd would hold the loop.
            await asyncio.sleep(0)

    async def _after(self, error: OSError) -> None:
        """Go on after a failed accept; without descriptors it would fail again at once."""
        if error.errno in _NOTHING_LEFT:
            _log.error("accept connection: %s", error.strerror)
            await asyncio.sleep(_BREATHER_S)

    def _admit(self, client: socket.socket) -> None:
        connection = self._server.new_connection(self._inside.discard)
        self._inside.add(connection)
        self._new.add(client)
        self._hold(self._loop.create_task(self._connect(client, connection)))

    async def _connect(self, client: socket.socket, connection: ServerConnection) -> None:
        """Hand the socket to its connection, after the handshake."""
        self._new.discard(client)
        try:
            client.setblocking(False)
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, client)
            else:
                await self._shake_hands(client, connection, context_of(self._tls))
        except OSError as error:
            # TLS errors are OSErrors. Who hangs up while it comes in is no news.
            self._inside.discard(connection)
            if self._tls is not None:
                # asyncio has no words for a client that hung up in the handshake
                self._server.count_refused(Refusal.TLS_HANDSHAKE, str(error) or _HUNG_UP)
        except BaseException:
            self._inside.discard(connection)
            raise

    async def _shake_hands(
        self, client: socket.socket, connection: ServerConnection, context: SSLContext
    ) -> None:
        """Hand the socket over by TLS; a client that is refused is told why."""
        limits = self._server.limits
        # The transport closes its own before the error is here.
        with client.dup() as kept:
            try:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    client,
                    ssl=context,
                    ssl_handshake_timeout=limits.handshake_s,
                )
            except HandshakeRefusedError as refused:
                self._server.count_refused(Refusal.TLS_HANDSHAKE, str(refused))
                await send_alert(kept, refused.alert, longest_s=limits.close_s)
                self._inside.discard(connection)

    def _hold(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("accept connection: failed", exc_info=task.exception())
