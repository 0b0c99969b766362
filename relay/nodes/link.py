"""The connection to one node: made, watched, and made again when it is lost.

        ┌──────── back-off, or the peer changed ◄──── down ◄────┐
    connect ──► ServerStatus ──► READY ──► watch: still there? ──┘

Any answer counts as life, an error too. A node is asked every `PROBE_S` and given
`PROBE_LONGEST_S`; pings of HTTP/2 would be cheaper, but servers of others take them for a flood.
The health stream that stays open beside it tells at once when the connection itself is gone. Who
reads streams of the node uses `connection` and gets its `reason` when that is over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from api.lane.backoff import Backoff
from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from api.proto.observer.observer_pb2 import ServerStatusRequest, ServerStatusResponse
from relay.nodes.account import Account
from relay.nodes.connection import NodeConnection
from relay.nodes.peer import target_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.lane.limits import Limits
    from api.lane.tls import TlsSource
    from relay.nodes.changes import Changes
    from relay.nodes.peer import Peer

logger = logging.getLogger(__name__)

PROBE_S: Final = 1.5
PROBE_LONGEST_S: Final = 2.0
SERVER_STATUS: Final = "/observer.Observer/ServerStatus"
_CHECK: Final = "/grpc.health.v1.Health/Check"
_WATCH: Final = "/grpc.health.v1.Health/Watch"
_DIAL_S: Final = 5.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0


class LinkState(StrEnum):
    """Names as gRPC has them for a connection, and one for a peer that cannot be dialled."""

    IDLE = "IDLE"
    CONNECTING = "CONNECTING"
    READY = "READY"
    TRANSIENT_FAILURE = "TRANSIENT_FAILURE"
    SHUTDOWN = "SHUTDOWN"
    NIL_CONNECTION = "NIL_CONNECTION"


class NodeLink:
    """Keeps one node connected while `run` runs.

    Args:
        peer: The node.
        tls: For nodes that speak TLS; None: TLS is off.
        limits: What a connection may hold, asked for each.
        changes: Told when the node came, went or failed.
        wall_ns: Times of the account.
        random: Numbers in [0, 1), for back-off.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        tls: TlsSource | None,
        limits: Callable[[], Limits],
        changes: Changes,
        random: Callable[[], float],
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.peer = peer
        self.account = Account()
        self.state = LinkState.IDLE
        self.connection: NodeConnection | None = None
        self.was_tried = False
        """Whether the first attempt is over."""
        self._tls = tls
        self._limits = limits
        self._changes = changes
        self._wall_ns = wall_ns
        self._backoff = Backoff(first_s=_FIRST_WAIT_S, max_s=_LONGEST_WAIT_S, random=random)
        self._kicked = asyncio.Event()
        self._heard_s = 0.0

    @property
    def name(self) -> str:
        """The node's name."""
        return self.peer.name

    @property
    def address(self) -> str:
        """Where it is dialled, or what was told instead."""
        return target_of(self.peer.address) or self.peer.address

    def update(self, peer: Peer) -> None:
        """Take what the peer service says now; another address or name means another connection."""
        if peer != self.peer:
            self.peer = peer
            self._end(RpcError(Code.UNAVAILABLE, f"node has moved to {self.address or 'nowhere'}"))
        self._kicked.set()

    def heard(self, flow_count: int) -> None:
        """Note that something came from the node, in whatever stream."""
        self._heard_s = asyncio.get_running_loop().time()
        self.account.heard(self._wall_ns(), flow_count)

    async def run(self) -> None:
        """Connect, again and again; ends with its task, and then closes."""
        try:
            while True:
                error = await self._live()
                self._fell(error)
                await self._pause(self._backoff.failed())
        finally:
            self._set(LinkState.SHUTDOWN)
            self._end(RpcError(Code.UNAVAILABLE, "node is gone from the cluster"))

    async def other_connection(self, last: NodeConnection | None, *, longest_s: float) -> None:
        """Wait until there is a connection that is not this one, or so long that it must do."""
        try:
            async with asyncio.timeout(longest_s):
                while self.connection is None or self.connection is last:
                    await self._changes.next()
        except TimeoutError:
            return

    async def _live(self) -> RpcError:
        """Connect and stay so; return what ended it."""
        self._kicked.clear()
        try:
            channel = self._open()
        except RpcError as error:
            self._set(LinkState.NIL_CONNECTION)
            return error
        connection = NodeConnection(channel, self._open)
        try:
            self._set(LinkState.CONNECTING)
            status = await channel.unary(
                SERVER_STATUS, ServerStatusRequest(), ServerStatusResponse, timeout_s=_DIAL_S
            )
            self._rose(connection, status)
            reason = await self._watch(connection)
            # before the streams break with the channel: they ask for the reason
            self._end(reason)
        except RpcError as failure:
            reason = failure
        finally:
            await connection.close()
        return reason

    def _open(self) -> Channel:
        """Make a channel to the node; raises RpcError for an address or TLS that cannot work."""
        target, server_name = target_of(self.peer.address), self.peer.server_name
        if target is None:
            raise RpcError(Code.UNAVAILABLE, f"no usable address: {self.peer.address!r}")
        if self._tls is not None and not server_name:
            raise RpcError(Code.UNAVAILABLE, f"missing TLS ServerName for {target}")
        if self._tls is None and server_name:
            raise RpcError(
                Code.UNAVAILABLE, f"unexpected TLS ServerName {server_name} for {target}"
            )
        return Channel(
            target,
            ssl=self._tls,
            server_name=server_name,
            limits=self._limits(),
            connect_timeout_s=_DIAL_S,
        )

    async def _watch(self, connection: NodeConnection) -> RpcError:
        """Return what ended a connection."""
        found: list[RpcError] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.ended())
                tasks.create_task(self._probe(connection.channel))
                tasks.create_task(self._listen(connection.channel))
        except* RpcError as errors:
            found = [error for error in errors.exceptions if isinstance(error, RpcError)]
        return found[0]

    async def _listen(self, channel: Channel) -> None:
        """Keep a stream open that ends with the connection; raises RpcError then."""
        try:
            async with channel.server_stream(_WATCH, HealthCheckRequest()) as answer:
                async for _ in answer.batches():
                    self.heard(0)
        except RpcError as error:
            if error.code == Code.UNIMPLEMENTED:
                return
            raise
        raise RpcError(Code.UNAVAILABLE, "node ended its health stream")

    async def _probe(self, channel: Channel) -> None:
        """Ask for life while nothing comes by itself; raises RpcError when there is none."""
        loop = asyncio.get_running_loop()
        while True:
            quiet_s = loop.time() - self._heard_s
            if quiet_s < PROBE_S:
                await asyncio.sleep(PROBE_S - quiet_s)
                continue
            asked_s = loop.time()
            try:
                await channel.unary(
                    _CHECK, HealthCheckRequest(), HealthCheckResponse, timeout_s=PROBE_LONGEST_S
                )
            except RpcError as error:
                if error.code == Code.UNAVAILABLE:
                    raise
                if error.code == Code.DEADLINE_EXCEEDED and self._heard_s < asked_s:
                    quiet_s = loop.time() - self._heard_s
                    text = f"node does not answer: nothing heard for {quiet_s:.1f}s"
                    raise RpcError(Code.UNAVAILABLE, text) from error
            self.heard(0)

    def _rose(self, connection: NodeConnection, status: ServerStatusResponse) -> None:
        self._backoff.succeeded()
        account = self.account
        account.version = status.version
        account.connections += 1
        account.connected_since_ns = self._wall_ns()
        self.heard(0)
        self.connection = connection
        logger.info("node connected name=%s address=%s", self.name, self.address)
        self._set(LinkState.READY)

    def _fell(self, error: RpcError) -> None:
        was_up = self.account.connected_since_ns is not None
        self.account.connected_since_ns = None
        self.account.failed(self._wall_ns(), str(error))
        level = logging.WARNING if was_up or not self.was_tried else logging.DEBUG
        what = "lost" if was_up else "unreachable"
        logger.log(level, "node %s name=%s address=%s: %s", what, self.name, self.address, error)
        if self.state != LinkState.NIL_CONNECTION:
            self._set(LinkState.TRANSIENT_FAILURE)

    def _end(self, reason: RpcError) -> None:
        """End the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.end(reason)

    def _set(self, state: LinkState) -> None:
        self.state = state
        self.was_tried |= state not in (LinkState.IDLE, LinkState.CONNECTING)
        self._changes.tell()

    async def _pause(self, longest_s: float) -> None:
        """Wait, but not if the peer service says anything new meanwhile."""
        try:
            async with asyncio.timeout(longest_s):
                await self._kicked.wait()
        except TimeoutError:
            return
