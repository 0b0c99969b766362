"""Health: of use with the peer service and one node at least."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from api.lane.health import Health
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from relay.health import NAMES, follow_health
from tests.relay.bed import LONGEST_S, bed

if TYPE_CHECKING:
    from api.lane.server import Call
    from relay.nodes.discovery import Discovery

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def test_it_needs_the_peer_service_and_a_node(tmp_path: Path) -> None:
    health = Health()
    peers = SimpleNamespace(is_connected=False)
    discovery = cast("Discovery", peers)

    async with bed(tmp_path) as made, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(follow_health(health, discovery, made.pool))

        async def becomes(wanted: int) -> None:
            async with asyncio.timeout(LONGEST_S):
                for name in NAMES:
                    request = HealthCheckRequest(service=name)
                    async for told in health.watch(cast("Call", None), request):
                        response = HealthCheckResponse.FromString(told.data[5:])
                        if response.status == wanted:
                            break

        await becomes(NOT_SERVING)
        node = await made.node("a")
        await made.connected("a")
        await becomes(NOT_SERVING)
        peers.is_connected = True
        made.pool.changes.tell()
        await becomes(SERVING)
        await node.stop()
        await becomes(NOT_SERVING)
        running.cancel()
