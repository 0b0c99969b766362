"""Keeps the datapath and the address book in step with the cluster and the node's interfaces.

    cluster state ──► view (who is where) ──► enforcement ──► placement ──► datapath's maps, links
    interfaces ─────────┘                                                   address book

A round looks at everything and writes only differences; it runs when the state or an interface
changes, several changes at a time. What fails is a problem named once in the log, and is tried
again in the next round; nothing here ends the process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from server.agent_events import AgentEvents, NoLog
from server.book import BookWriter
from server.enforcement import PolicyBook
from server.interfaces import Interfaces
from server.maps import MapWriter
from server.mirror import REFUSALS
from server.pace import Pace
from server.placement import Placement
from server.policy_desk import Known
from server.problems import Problems
from server.view import Viewer

if TYPE_CHECKING:
    from observer.addresses import AddressBook
    from policy.rules import Policy
    from server.cluster.state import ClusterState
    from server.enforcement import Enforcement
    from server.maps import EndpointMaps
    from server.observed import ObservedInterfaces
    from server.policy_desk import PolicyDesk
    from server.view import NodeView

SETTLE_S = 0.01
"""An interface comes with a dozen notices: wait for the rest of them."""
LINGER_S = 0.1
"""The rings of an idle node are read every 50 ms: until then flows need to know who is gone."""
NO_INTERFACES = Interfaces(links={}, routes={}, neighbours={}, addresses=frozenset())


class InterfaceSource(Protocol):
    """Where pictures of the node's interfaces come from: server.interfaces.NodeInterfaces."""

    async def read(self) -> Interfaces:
        """Take a picture; OSError if the kernel refuses."""

    async def changed(self) -> None:
        """Wait until something may have changed since the last call."""


class EndpointManager:
    """Reconciles one node, for as long as `run` runs."""

    def __init__(
        self,
        *,
        node_name: str,
        cluster_name: str,
        state: ClusterState,
        book: AddressBook,
        datapath: EndpointMaps | None,
        interfaces: InterfaceSource | None,
        observed: ObservedInterfaces | None = None,
        events: AgentEvents | None = None,
        desk: PolicyDesk | None = None,
    ) -> None:
        """Take what to reconcile; without datapath and interfaces (a replay) only the book.

        With `observed` interfaces are others' to connect, and only looked at: no datapath then.
        `events` hears what was done, `desk` is shown what is in force.
        """
        self.ready = asyncio.Event()
        """Set when the first round that was asked for is done."""
        self.problems = Problems()
        self._state = state
        self._viewer = Viewer(node_name=node_name, cluster_name=cluster_name)
        self._policies = PolicyBook()
        linger_s = 0.0 if interfaces is None else LINGER_S
        self._book = BookWriter(book, self.problems, linger_s=linger_s)
        self._events = events or AgentEvents(NoLog())
        self._maps = None if datapath is None else MapWriter(datapath, self.problems, self._events)
        self._placement = Placement({} if datapath is None else datapath.endpoint_interfaces())
        self._observed = observed
        self._desk = desk
        self._source = interfaces
        self._picture = NO_INTERFACES
        self._pod_count = 0
        self._due = asyncio.Event()

    @property
    def pod_count(self) -> int:
        """Pods of this node in the last round."""
        return self._pod_count

    def state_changed(self) -> None:
        """Say that the cluster's state has changed: a round is due."""
        self._due.set()

    async def run(self) -> None:
        """Reconcile whenever something has changed, until cancelled.

        Nothing happens before the state has been told to be there: what an earlier process left
        would be taken down for want of pods.
        """
        await self._due.wait()
        async with asyncio.TaskGroup() as group:
            if self._source is not None:
                group.create_task(self._watch(self._source))
            while True:
                await self._due.wait()
                self._due.clear()
                await self.reconcile()
                self.ready.set()

    async def reconcile(self) -> None:
        """Do one round; can be cancelled between any two writes, the next round goes on."""
        pace = Pace()
        picture = await self._look()
        if self._maps is not None:
            self._viewer.inherit(await self._maps.take_over())
        async with self._state.whole:
            try:
                view = await self._viewer.draw(self._state, picture.addresses, pace)
            except ValueError as error:
                self.problems.meet("cluster", str(error))
                self.problems.end_round()
                return
            policies = self._state.policies()
        for about, reason in view.conflicts.items():
            self.problems.meet(about, reason)
        is_settled = False
        while not is_settled:
            enforcement = await self._policies.enforce(policies, view, pace)
            await self._write(picture, view, enforcement, pace)
            is_settled = enforcement.is_settled
        self.problems.end_round()
        self._pod_count = len(view.local)
        self._show(view, policies)

    def _show(self, view: NodeView, policies: tuple[Policy, ...]) -> None:
        """Let people see what is in force now."""
        if self._desk is None:
            return
        known = Known(
            view=view,
            pods=dict(self._state.pods),
            policies=policies,
            revisions=self._policies.revisions,
            networks=self._policies.networks,
            problems=self.problems.present,
        )
        self._desk.show(known)

    async def _write(
        self, picture: Interfaces, view: NodeView, enforcement: Enforcement, pace: Pace
    ) -> None:
        """Write a view and what is enforced in it."""
        for about, reason in enforcement.problems.items():
            self.problems.meet(about, reason)
        names = {link.index: link.name for link in picture.links.values()}
        await self._book.put(view, enforcement, names, pace)
        if self._maps is not None:
            placed = self._placement.place(view.local, picture, enforcement, self.problems)
            await self._maps.write(view, placed, enforcement.networks, pace)
        self._tell_policies()
        if self._observed is not None:
            await self._observed.write(picture, self.problems, pace)
        await self._book.drop(view, enforcement, names, pace)

    def _tell_policies(self) -> None:
        """Tell how policies changed, where they are enforced."""
        changes = self._policies.take_changes()
        for policy, revision, is_deleted in changes if self._maps is not None else ():
            if is_deleted:
                self._events.policy_deleted(policy, revision)
            else:
                self._events.policy_updated(policy, revision)

    async def _watch(self, source: InterfaceSource) -> None:
        while True:
            await source.changed()
            await asyncio.sleep(SETTLE_S)
            self._due.set()

    async def _look(self) -> Interfaces:
        """Take a picture of the interfaces; the last one if that fails."""
        if self._source is not None:
            try:
                self._picture = await self._source.read()
            except REFUSALS as error:
                self.problems.meet("interfaces", f"read: {error}")
        return self._picture
