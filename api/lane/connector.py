"""The connection of a channel: dialled when a call needs one, again when it is lost or draining.

One dial at a time, whoever asks. A call that waits for a server sleeps between attempts, and all
such calls share the pauses; a call that does not wait dials at once and fails with the reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from api.lane.backoff import Backoff
from api.lane.dial import ClientConnection, dial
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from api.lane.address import Address
    from api.lane.limits import Limits
    from api.lane.tls import TlsSource

_CLOSING = "grpc: the client connection is closing"


class Connector:
    """Gives the connection for a call."""

    def __init__(
        self,
        address: Address,
        *,
        tls: SSLContext | TlsSource | None,
        server_name: str | None,
        limits: Limits,
        timeout_s: float,
        random: Callable[[], float],
    ) -> None:
        self._address = address
        self._tls = tls
        self._server_name = server_name
        self._limits = limits
        self._timeout_s = timeout_s
        self._connection: ClientConnection | None = None
        self._connections: set[ClientConnection] = set()
        self._dialing = asyncio.Lock()
        self._closed = False
        self._backoff = Backoff(
            first_s=limits.backoff_first_s, max_s=limits.backoff_max_s, random=random
        )
        self._retry_at = 0.0
        self._awake = asyncio.Event()
        self._awake.set()

    async def connect(self, *, wait: bool) -> ClientConnection:
        """Return the connection for a new call, dialling if there is none.

        With ``wait`` it keeps trying; bound it by a timeout.

        Raises:
            RpcError: the channel is closed (CANCELLED), or without ``wait`` there is no server
                (UNAVAILABLE).
        """
        while True:
            async with self._dialing:
                if self._closed:
                    raise RpcError(Code.CANCELLED, _CLOSING)
                if self._connection is not None and self._connection.usable:
                    return self._connection
                pause_s = self._retry_at - asyncio.get_running_loop().time()
                if not wait or pause_s <= 0:
                    try:
                        return await self._dial()
                    except RpcError:
                        if not wait:
                            raise
                        continue
            await self._pause(pause_s)

    async def close(self) -> None:
        """End all calls with UNAVAILABLE, wake those who wait, and close."""
        self._closed = True
        self._awake.set()
        for connection in list(self._connections):
            connection.close("the client connection is closing")
        for connection in list(self._connections):
            await connection.lost.wait()
        self._connections.clear()

    async def _dial(self) -> ClientConnection:
        self._learn()
        try:
            connection = await dial(
                self._address,
                limits=self._limits,
                timeout_s=self._timeout_s,
                tls=self._tls,
                server_name=self._server_name,
            )
        except RpcError:
            self._retry_at = asyncio.get_running_loop().time() + self._backoff.failed()
            self._awake.clear()
            raise
        self._backoff.succeeded()
        self._awake.set()
        self._connection = connection
        self._connections.add(connection)
        return connection

    def _learn(self) -> None:
        """Forget lost connections; ask less often for life where a server found it too often."""
        last = self._connection
        if last is not None and last.pinged_too_often and self._limits.keepalive_s is not None:
            self._limits = replace(self._limits, keepalive_s=2 * self._limits.keepalive_s)
        self._connection = None
        self._connections = {each for each in self._connections if not each.lost.is_set()}

    async def _pause(self, pause_s: float) -> None:
        """Wait until the next attempt is due, or somebody else has connected."""
        try:
            async with asyncio.timeout(pause_s):
                await self._awake.wait()
        except TimeoutError:
            return
