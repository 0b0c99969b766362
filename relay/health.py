"""Is the relay of use? With the peer service connected and one node at least, it is.

Told under the names that probes and Hubble's clients ask for, on the main port and the one for
probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from api.lane.health import Health
    from relay.nodes.discovery import Discovery
    from relay.nodes.pool import NodePool

NAMES: Final = ("", "hubble.server.Observer")


async def follow_health(health: Health, discovery: Discovery, pool: NodePool) -> None:
    """Keep the health service informed until cancelled; `pool.changes` rings for both."""
    while True:
        is_serving = discovery.is_connected and any(link.connection for link in pool.links)
        for name in NAMES:
            health.set(name, is_serving)
        await pool.changes.next()
