"""A live node: the datapath is loaded, its rings are read, its maps follow the cluster's state.

    rings ──► pipeline (and recorder)
    state folder, or containers ──► cluster state ──► endpoint manager ──► datapath, address book

What is attached stays when this ends: forwarding and verdicts go on without us. In observe mode
nobody needs it, and nothing stays.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing, closing
from functools import partial
from typing import Final

from observer.kernel.counters import EventAccounts
from observer.kernel.datapath import Attach, Datapath, DatapathSettings
from observer.kernel.recording import RecordedChange, Recorder
from observer.kernel.rings import PerfRings, RingSettings
from server.agent_events import AgentEvents
from server.cluster.folder import StateFolder
from server.cluster.objects import Change
from server.cluster.state import ClusterState
from server.containers.follow import Containers
from server.endpoints import EndpointManager
from server.interfaces import NodeInterfaces
from server.losses import LossReports
from server.node import Node
from server.node_report import Watched
from server.observed import ObservedInterfaces, observes, pin_name
from server.pace import Pace
from server.settings import Settings

logger = logging.getLogger(__name__)

_SWEEP_ENTRIES: Final = 2_048
"""Connections looked at before others run: about a millisecond."""
_SWEEPS_PER_REPORT: Final = 5
_MOST_BETWEEN_SWEEPS_S: Final = 1.0
_BETWEEN_LOSS_REPORTS_S: Final = 1.0


async def observe(settings: Settings, node: Node, *, on_ready: Callable[[], None]) -> None:
    """Observe this node until cancelled; `on_ready` when its endpoints are in the datapath.

    Raises:
        KernelError: the datapath cannot be loaded, or the recording cannot be written.
        StateFolderError: the state folder cannot be read.
    """
    is_observing = observes(settings)
    async with AsyncExitStack() as opened:
        recorder = None
        if settings.record is not None:
            recorder = opened.enter_context(closing(Recorder(settings.record)))
        # in a thread, since it waits for the compiler; clients are answered meanwhile
        datapath = await asyncio.to_thread(_load, settings)
        opened.callback(datapath.remove if is_observing else datapath.close)
        # what nobody read is counted before anybody reads
        accounts = datapath.accounts
        reports = LossReports(table=node.table, ledger=node.ledger, accounts=accounts)
        rings = opened.enter_context(closing(_open_rings(settings, datapath)))
        interfaces = opened.enter_context(closing(NodeInterfaces(settings.netns)))
        events = AgentEvents(node.agent_log)
        events.started()
        state = ClusterState()
        manager = EndpointManager(
            node_name=settings.node_name,
            cluster_name=settings.cluster_name,
            state=state,
            book=node.book,
            datapath=None if is_observing else datapath,
            interfaces=interfaces,
            observed=ObservedInterfaces(datapath, settings.interface) if is_observing else None,
            events=events,
            desk=node.desk,
        )
        folder = None if settings.state is None else StateFolder(settings.state)
        node.report.watch(
            Watched(
                mode=settings.mode,
                attach=datapath.way,
                pods=lambda: manager.pod_count,
                problems=lambda: (
                    *manager.problems.listed(),
                    *(folder.problems() if folder is not None else ()),
                ),
            )
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_read(rings, node, recorder, accounts))
            tasks.create_task(_follow(settings, folder, node, state, manager, recorder))
            tasks.create_task(manager.run())
            tasks.create_task(_sweep(datapath, settings.report_interval / _SWEEPS_PER_REPORT))
            tasks.create_task(_report(reports))
            tasks.create_task(node.agent_log.run())
            await manager.ready.wait()
            on_ready()


def _load(settings: Settings) -> Datapath:
    return Datapath.load(
        node=pin_name(settings),
        is_observing=observes(settings),
        bpffs=settings.bpffs,
        netns=settings.netns,
        conntrack_entries=settings.connections,
        attach=Attach(settings.attach),
        settings=DatapathSettings(
            per_packet=settings.per_packet,
            debug=settings.debug_events,
            report_interval_ns=round(settings.report_interval * 1e9),
        ),
    )


def _open_rings(settings: Settings, datapath: Datapath) -> PerfRings:
    return PerfRings(
        install=datapath.install_ring, settings=RingSettings(size_bytes=settings.ring_bytes)
    )


async def _read(
    rings: PerfRings, node: Node, recorder: Recorder | None, accounts: EventAccounts
) -> None:
    turn = partial(node.table.turns.next, is_writer=True)
    is_watched = node.table.watermark.is_watched
    async with aclosing(rings.batches(turn=turn, is_watched=is_watched)) as batches:
        async for batch in batches:
            node.pipeline.feed(batch)
            accounts.told(batch.event_count)
            if recorder is not None:
                recorder.batch(batch)


async def _follow(
    settings: Settings,
    folder: StateFolder | None,
    node: Node,
    state: ClusterState,
    manager: EndpointManager,
    recorder: Recorder | None,
) -> None:
    """Take in what changes in the cluster, or else in the engine; or the node has no pods."""
    if folder is not None:
        node.desk.hear(lambda: map(str, folder.errors))
        batches = folder.changes()
    elif observes(settings) and settings.container_socket:
        batches = Containers(settings.container_socket, node_name=settings.node_name).changes()
    else:
        node.peers.put(())
        manager.state_changed()
        return
    async for changes in batches:
        await state.take_in(changes, Pace())
        if recorder is not None:
            _record(changes, recorder)
        node.peers.put(state.nodes.values())
        manager.state_changed()


def _record(changes: Sequence[Change], recorder: Recorder) -> None:
    """Record what belongs together in one piece: a replay must not see samples between them."""
    for change in changes:
        recorder.change(RecordedChange(change=change.kind.value, object=dict(change.document)))


async def _sweep(datapath: Datapath, pause_s: float) -> None:
    while True:
        await asyncio.sleep(min(pause_s, _MOST_BETWEEN_SWEEPS_S))
        done = False
        while not done:
            done = datapath.sweep(_SWEEP_ENTRIES).wrapped
            await asyncio.sleep(0)


async def _report(reports: LossReports) -> None:
    while True:
        await asyncio.sleep(_BETWEEN_LOSS_REPORTS_S)
        reports.report()
