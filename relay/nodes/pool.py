"""All nodes of the cluster by name, with their connections.

The peer service puts nodes in and takes them out; streams and status look at what is here and wait
for `changes`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from relay.nodes.changes import Changes
from relay.nodes.connection import limits_among
from relay.nodes.link import NodeLink

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from api.lane.tls import TlsSource
    from relay.nodes.peer import Peer

logger = logging.getLogger(__name__)


class NodePool:
    """Keeps every node connected.

    Args:
        tasks: Runs the connections.
        tls: For nodes that speak TLS; None: TLS is off.
        numbers: In [0, 1), for back-off.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        *,
        tls: TlsSource | None,
        numbers: Callable[[], float] = random.random,
    ) -> None:
        self.changes = Changes()
        """Rings when a node came, went or failed."""
        self._tasks = tasks
        self._tls = tls
        self._numbers = numbers
        self._links: dict[str, tuple[NodeLink, asyncio.Task[None]]] = {}

    @property
    def links(self) -> list[NodeLink]:
        """All nodes, sorted by name."""
        return [self._links[name][0] for name in sorted(self._links)]

    def holds(self, link: NodeLink) -> bool:
        """Tell whether a node is still one of the cluster's."""
        known = self._links.get(link.name)
        return known is not None and known[0] is link

    def upsert(self, peer: Peer) -> None:
        """Add a node, or take what has changed of it; either way it is tried at once."""
        known = self._links.get(peer.name)
        if known is not None:
            known[0].update(peer)
            return
        logger.info("node added name=%s address=%s", peer.name, peer.address)
        link = NodeLink(
            peer,
            tls=self._tls,
            limits=lambda: limits_among(len(self._links)),
            changes=self.changes,
            random=self._numbers,
        )
        self._links[peer.name] = (link, self._tasks.create_task(link.run()))
        self.changes.tell()

    def delete(self, name: str) -> None:
        """Let go of a node; one that is not there is no error."""
        known = self._links.pop(name, None)
        if known is not None:
            logger.info("node removed name=%s", name)
            known[1].cancel()
            self.changes.tell()

    def keep_only(self, names: Collection[str]) -> None:
        """Let go of all nodes but these."""
        for name in self._links.keys() - set(names):
            self.delete(name)

    async def tried(self, *, longest_s: float) -> None:
        """Wait until each node was tried once, but not for longer than that."""
        try:
            async with asyncio.timeout(longest_s):
                while not all(link.was_tried for link in self.links):
                    await self.changes.next()
        except TimeoutError:
            return
