"""A replayed node: a recording goes through everything from decode on, then its flows are served.

Cluster changes take effect where they stood among the samples, so an address means what it meant
when the packet passed. Needs no root and no BPF.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from observer.kernel.errors import RecordingError
from observer.kernel.recording import RecordedChange, Recording
from server.cluster.errors import ObjectError
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from server.losses import LossReports
from server.node import Node
from server.node_report import Watched
from server.playback import replayed
from server.settings import Settings

logger = logging.getLogger(__name__)


async def opened(path: Path) -> Recording:
    """Open a recording and check all of it; RecordingError names what is wrong, and where."""
    return await asyncio.to_thread(Recording, path)


async def observe(
    settings: Settings, node: Node, *, recording: Recording, on_ready: Callable[[], None]
) -> None:
    """Replay the recording, then wait until cancelled.

    `on_ready` when there is something to ask for: at once, or with `--speed max` at the end.

    Raises:
        RecordingError: an object in the recording cannot be read.
    """
    logger.info("replaying file=%s samples=%d", settings.replay, recording.sample_count)
    if settings.speed is not None:
        on_ready()
    # the nodes of the recording are not here: relays find this replay alone
    node.peers.put(())
    state = ClusterState()
    manager = EndpointManager(
        node_name=settings.node_name,
        cluster_name=settings.cluster_name,
        state=state,
        book=node.book,
        datapath=None,
        interfaces=None,
        desk=node.desk,
    )
    node.report.watch(
        Watched(
            mode="replay",
            pods=lambda: manager.pod_count,
            problems=manager.problems.listed,
        )
    )
    changed = False
    async for item in replayed(recording, speed=settings.speed):
        if isinstance(item, RecordedChange):
            state.apply(_change(item, settings))
            changed = True
            continue
        if changed:
            await manager.reconcile()
            changed = False
        node.pipeline.feed(item)
    if changed:
        await manager.reconcile()
    LossReports(table=node.table, ledger=node.ledger, accounts=None).report()
    # nothing will follow, whatever times the recording has
    node.table.watermark.raise_to(time.time_ns())
    logger.info("replayed rows=%d", node.table.statistics().rows)
    if settings.speed is None:
        on_ready()
    await asyncio.Event().wait()


def _change(recorded: RecordedChange, settings: Settings) -> Change:
    try:
        found = read_object(recorded.object, source=str(settings.replay))
        kind = ChangeKind(recorded.change)
    except (ObjectError, ValueError) as error:
        raise RecordingError(f"read recording {settings.replay}: {error}") from error
    if found is None:
        kind_name = recorded.object.get("kind")
        raise RecordingError(f"read recording {settings.replay}: object of kind {kind_name!r}")
    return Change(kind=kind, object=found, document=recorded.object)
