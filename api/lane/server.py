"""The lane's server: listens, runs a method per call, drains.

listen -> Acceptor per address -> ServerConnection per client -> a task per call -> Method
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.lane.accept import Acceptor
from api.lane.address import UnixAddress, parse_address
from api.lane.call import Call, Method
from api.lane.limits import SERVER_LIMITS, Limits
from api.lane.listen import bound_address, listening_socket
from api.lane.serving import Counters, ServerConnection
from api.lane.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from ssl import SSLContext

    from api.lane.guard import Refusal
    from api.lane.metadata import Metadata
    from api.lane.tls import TlsSource

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


class Server:
    """Serves methods on any number of addresses.

    ``initial_metadata`` goes with every call's response headers, a version for example. ``random``
    gives numbers in [0, 1), for the ages at which connections end.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        limits: Limits = SERVER_LIMITS,
        initial_metadata: Metadata = (),
        random: Callable[[], float] = random.random,
    ) -> None:
        self.methods = dict(methods)
        self.services = frozenset(path.split("/")[1] for path in self.methods)
        self.limits = limits
        self.initial_metadata = initial_metadata
        self.connections: set[ServerConnection] = set()
        self.turns = Turns()
        self.random = random
        self.counters = Counters()
        self._acceptors: list[Acceptor] = []
        self._unix_paths: list[tuple[Path, int]] = []
        self._idle = asyncio.Event()

    async def listen(self, address: str, *, ssl: SSLContext | TlsSource | None = None) -> str:
        """Accept connections on an address; return it with the port that was bound.

        With ``ssl`` only clients that select h2 by ALPN are served; a context is set so. A
        ``tls.ServerTls`` follows changes of its files.

        Raises:
            OSError: the address cannot be bound; the text names it.
            ValueError: the address cannot be read.
        """
        sock = listening_socket(parse_address(address))
        bound = bound_address(sock)
        if isinstance(bound, UnixAddress):
            self._unix_paths.append((bound.path, bound.path.stat().st_ino))
        acceptor = Acceptor(sock, self, tls=ssl)
        acceptor.start()
        self._acceptors.append(acceptor)
        return str(bound)

    async def stop(self, grace_s: float) -> None:
        """Accept no more, let calls end for ``grace_s``, end the rest with UNAVAILABLE.

        Takes at most the grace time and three times ``Limits.close_s``. If cancelled, it ends all
        connections at once.
        """
        self._remove_unix_sockets()
        for acceptor in self._acceptors:
            acceptor.stop()
        for connection in list(self.connections):
            connection.drain()
        try:
            while self._acceptors:
                await self._acceptors.pop().close()
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

    def new_connection(self, on_lost: Callable[[ServerConnection], None]) -> ServerConnection:
        """Return the protocol for a client that was accepted."""
        return ServerConnection(self, on_lost)

    def count_refused(self, reason: Refusal, detail: str) -> None:
        """Count a client, or a call, that was turned away."""
        self.counters.refused[reason] += 1
        count = self.counters.refused[reason]
        # The 1st, 2nd, 4th, 8th and so on: a flood of clients must not become one of lines.
        if count & (count - 1) == 0:
            _log.info("refuse peer: reason=%s count=%d detail=%s", reason, count, detail)

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
