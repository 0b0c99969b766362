"""The nodes of the cluster as relays know them: names, where their servers answer, TLS names.

    Node objects ──► PeerBook ──► Subscription: all peers, then each change (server.peer_service)

Who subscribes gets what is known then, and every change after it, in order. Nobody waits for a slow
one: what waits for it is bounded, and beyond that its subscription is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from api.lane.address import TcpAddress, parse_address
from api.proto.peer.peer_pb2 import TLS, ChangeNotification, ChangeNotificationType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from server.cluster.objects import Address, Node

logger = logging.getLogger(__name__)

HUBBLE_PORT: Final = 4244
"""What an address without a port means."""
MOST_WAITING: Final = 65_536
"""Changes that wait for one subscriber."""
MOST_AT_ONCE: Final = 256
"""Changes that a subscriber takes in one go: less than a millisecond's work."""
DEFAULT_CLUSTER: Final = "default"
SHOWN_NODES: Final = 5
_TLS_DOMAIN: Final = "hubble-grpc.cilium.io"


class Peer(NamedTuple):
    """A node, seen from outside."""

    name: str
    """`cluster/node`, or the node's alone in cluster `default`."""
    address: str
    """IP address, with a port unless it is 4244; empty: it cannot be reached."""
    server_name: str
    """The name that its certificate carries; empty without TLS."""


class OverrunError(Exception):
    """More changes wait for a subscriber than are kept."""


class Change(NamedTuple):
    """What happened to a peer."""

    kind: ChangeNotificationType
    peer: Peer
    """As it is now, or as it was when it went."""

    def notification(self) -> ChangeNotification:
        """Write it as the Peer service says it."""
        name, address, server_name = self.peer
        tls = TLS(server_name=server_name) if server_name else None
        return ChangeNotification(name=name, address=address, type=self.kind, tls=tls)


class Subscription:
    """The changes that wait for one subscriber, from `PeerBook.subscribe`."""

    def __init__(self, known: Iterable[Peer]) -> None:
        self._wake = asyncio.Event()
        self._waiting = deque(Change(ChangeNotificationType.PEER_ADDED, peer) for peer in known)
        self._is_overrun = False
        if self._waiting:
            self._wake.set()

    def add(self, changes: Iterable[Change]) -> None:
        """Take changes in; once there are too many nothing is kept at all."""
        for change in changes:
            if len(self._waiting) >= MOST_WAITING:
                self._is_overrun = True
                self._waiting.clear()
            if not self._is_overrun:
                self._waiting.append(change)
        self._wake.set()

    async def next(self) -> list[Change]:
        """Wait for changes and take them, at most `MOST_AT_ONCE`; first all peers there are.

        Can be cancelled, nothing is lost then.

        Raises:
            OverrunError: There were more than `MOST_WAITING`.
        """
        await self._wake.wait()
        if self._is_overrun:
            raise OverrunError
        found = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        if not self._waiting:
            self._wake.clear()
        return found


class PeerBook:
    """Who the peers are at present, this node among them."""

    def __init__(self, *, node_name: str, cluster_name: str, prefer_ipv6: bool) -> None:
        self._node_name = node_name
        self._cluster_name = cluster_name
        self._prefer_ipv6 = prefer_ipv6
        self._listens: TcpAddress | None = None
        self._speaks_tls = False
        self._nodes: dict[str, Node] | None = None
        self._peers: dict[str, Peer] = {}
        """By the node's name."""
        self._subscriptions: set[Subscription] = set()

    def listens(self, address: str, *, tls: bool) -> None:
        """Learn at which TCP address this node's own server answers; before the first `put`.

        Nodes of a cluster are set up alike: where nothing else is known of another one it is taken
        to answer on the same port, and to speak TLS if this one does.
        """
        parsed = parse_address(address)
        self._listens = parsed if isinstance(parsed, TcpAddress) else None
        self._speaks_tls = tls

    def put(self, nodes: Iterable[Node]) -> None:
        """Let these be the nodes of the cluster, and tell all subscribers what that changes.

        About 3 µs a node at first, a tenth of that where nothing changed.
        """
        now = {node.key.name: node for node in nodes}
        if now == self._nodes:
            return
        before, self._nodes = self._nodes or {}, now
        peers = {
            name: self._peers[name] if before.get(name) is node else self._described(node)
            for name, node in now.items()
        }
        if self._node_name not in now:
            # A node that no object describes is at least where it listens.
            peers[self._node_name] = self._peer(self._node_name, self._own_address())
            if now and (not before or self._node_name in before):
                # A slip in --node-name, most likely: no pod would be its own either.
                known = ", ".join(sorted(now)[:SHOWN_NODES])
                logger.warning("no Node object of our name=%s known=%s", self._node_name, known)
        if self._subscriptions:
            changes = list(_changes(self._peers, peers))
            for subscription in self._subscriptions:
                subscription.add(changes)
        self._peers = peers

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Follow for the length of a block."""
        subscription = Subscription(sorted(self._peers.values()))
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def _described(self, node: Node) -> Peer:
        address = _preferred(node.addresses, prefer_ipv6=self._prefer_ipv6)
        port = node.hubble_port or self._own_port
        return self._peer(node.key.name, "" if address is None else _joined(address, port))

    def _peer(self, node_name: str, address: str) -> Peer:
        server_name = tls_name(node_name, self._cluster_name) if self._speaks_tls else ""
        return Peer(peer_name(node_name, self._cluster_name), address, server_name)

    @property
    def _own_port(self) -> int:
        return HUBBLE_PORT if self._listens is None else self._listens.port

    def _own_address(self) -> str:
        if self._listens is None:
            return ""
        host = ip_address(self._listens.host)
        if host.is_unspecified:
            # On all addresses; of those only this one is known, and it is enough for this machine.
            host = ip_address("127.0.0.1")
        return _joined(host, self._listens.port)


def peer_name(node_name: str, cluster_name: str) -> str:
    """Name a node as relays do."""
    is_alone = cluster_name in ("", DEFAULT_CLUSTER)
    return node_name if is_alone else f"{cluster_name}/{node_name}"


def tls_name(node_name: str, cluster_name: str) -> str:
    """Give the name that the certificate of a node's server carries."""
    labels = (each.replace(".", "-") for each in (node_name, cluster_name or DEFAULT_CLUSTER))
    return ".".join((*labels, _TLS_DOMAIN))


def _changes(before: Mapping[str, Peer], now: Mapping[str, Peer]) -> Iterator[Change]:
    for name, peer in before.items():
        if name not in now:
            yield Change(ChangeNotificationType.PEER_DELETED, peer)
    for name, peer in now.items():
        if name not in before:
            yield Change(ChangeNotificationType.PEER_ADDED, peer)
        elif before[name] != peer:
            yield Change(ChangeNotificationType.PEER_UPDATED, peer)


def _preferred(addresses: Sequence[Address], *, prefer_ipv6: bool) -> Address | None:
    """Find the first address of the preferred family, else the first at all."""
    wanted = 6 if prefer_ipv6 else 4
    return next((each for each in addresses if each.version == wanted), next(iter(addresses), None))


def _joined(address: Address, port: int) -> str:
    if port == HUBBLE_PORT:
        return str(address)
    return str(TcpAddress(host=str(address), port=port))
