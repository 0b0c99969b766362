"""The peer service → the pool: which nodes there are, followed for as long as the relay runs.

One Notify stream; when it ends or fails it is opened again, after pauses that grow up to
`retry-timeout`. A new stream tells all nodes anew: those it has not named after a while are gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from api.lane.address import UnixAddress, parse_address
from api.lane.backoff import Backoff
from api.lane.client import Channel
from api.lane.limits import Limits
from api.lane.status import RpcError
from api.proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType, NotifyRequest
from relay.nodes.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.lane.tls import TlsSource
    from relay.nodes.pool import NodePool
    from relay.settings import Settings

logger = logging.getLogger(__name__)

NOTIFY: Final = "/peer.Peer/Notify"
SETTLED_S: Final = 10.0
"""By then a new stream has named all nodes."""
_FIRST_WAIT_S: Final = 1.0
# Servers of others want five minutes between pings.
_LIMITS: Final = Limits(keepalive_s=330.0)


class Discovery:
    """Follows the peer service while `run` runs.

    Args:
        target: Where it is.
        tls: To reach it; None: in the clear.
        server_name: Of its certificate.
        pool: Gets the nodes.
        longest_wait_s: Between two attempts.
        on_change: Called when `is_connected` changes.
        numbers: In [0, 1), for back-off.
        wall_ns: Time of the last error.
        settled_s: By then a new stream has named all nodes.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: TlsSource | None,
        server_name: str,
        pool: NodePool,
        longest_wait_s: float,
        on_change: Callable[[], None],
        numbers: Callable[[], float],
        wall_ns: Callable[[], int] = time.time_ns,
        settled_s: float = SETTLED_S,
    ) -> None:
        self.is_connected = False
        """Whether the peer service answers now."""
        self.last_error = ""
        self.last_error_ns: int | None = None
        self.target = target
        self._channel = Channel(
            target, ssl=tls, server_name=server_name if tls else None, limits=_LIMITS
        )
        self._wall_ns = wall_ns
        self._pool = pool
        self._on_change = on_change
        self._backoff = Backoff(
            first_s=min(_FIRST_WAIT_S, longest_wait_s), max_s=longest_wait_s, random=numbers
        )
        self._settled_s = settled_s

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                    reason = "it ended the stream"
                except (RpcError, DecodeError) as error:
                    reason = str(error)
                self._set(False)
                self.last_error, self.last_error_ns = reason, self._wall_ns()
                logger.warning("peer service lost target=%s: %s", self.target, reason)
                await asyncio.sleep(self._backoff.failed())
        finally:
            await self._channel.close()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        named: set[str] = set()
        async with self._channel.server_stream(NOTIFY, NotifyRequest()) as answer:
            await answer.wait_initial_metadata()
            self._set(True)
            self._backoff.succeeded()
            settling = loop.call_later(self._settled_s, lambda: self._pool.keep_only(named))
            try:
                async for messages in answer.batches():
                    for message in messages:
                        self._apply(ChangeNotification.FromString(message), named)
            finally:
                settling.cancel()

    def _apply(self, change: ChangeNotification, named: set[str]) -> None:
        if change.type == ChangeNotificationType.PEER_DELETED:
            named.discard(change.name)
            self._pool.delete(change.name)
        elif change.type in (
            ChangeNotificationType.PEER_ADDED,
            ChangeNotificationType.PEER_UPDATED,
        ):
            named.add(change.name)
            self._pool.upsert(Peer.of(change))
        else:
            logger.warning("ignore change of peer name=%s type=%d", change.name, change.type)

    def _set(self, is_connected: bool) -> None:
        if is_connected != self.is_connected:
            self.is_connected = is_connected
            if is_connected:
                logger.info("peer service connected target=%s", self.target)
            self._on_change()


def peer_server_name(cluster_name: str) -> str:
    """Return the name in the certificate of a cluster's peer service."""
    return f"hubble-peer.{cluster_name.replace('.', '-')}.hubble-grpc.cilium.io"


def discovery_of(settings: Settings, pool: NodePool, tls: TlsSource | None) -> Discovery:
    """Make the discovery that settings ask for; `tls` is that of the nodes."""
    # a unix socket is on this machine, and always in the clear
    is_unix = isinstance(parse_address(settings.peer_service), UnixAddress)
    return Discovery(
        settings.peer_service,
        tls=None if is_unix else tls,
        server_name=peer_server_name(settings.cluster_name),
        pool=pool,
        longest_wait_s=settings.retry_timeout,
        on_change=pool.changes.tell,
        numbers=random.random,
    )
