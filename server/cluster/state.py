"""The cluster as it is now, and what its objects say together.

Changes come in (from server.cluster.folder, a recording, a watch), in any order: a pod may come
before its namespace or its owner, and answers become better as objects arrive. Out: look-ups for
server.endpoints. No I/O, no history.
"""

from __future__ import annotations

import asyncio
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, assert_never

from observer.entities import Workload
from server.cluster.objects import (
    Change,
    ChangeKind,
    Controller,
    EndpointSlice,
    Namespace,
    NetworkPolicy,
    Node,
    ObjectKey,
    Owner,
    Pod,
    Service,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from policy.rules import Policy
    from server.cluster.objects import Address
    from server.pace import Pace

NO_LABELS: Mapping[str, str] = MappingProxyType({})

V = TypeVar("V")

HASH_LABEL = "pod-template-hash"
CRON_JOB_NAME = re.compile(r"(?P<cron_job>.+)-\d{8,10}")
"""A CronJob names its Jobs by the minute or second they were due."""


class ClusterState:
    """All objects of the cluster that matter, by kind."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change."""
        self.whole = asyncio.Lock()
        """Held while a batch of changes is taken in, or a view drawn, in slices: neither is torn by
        the other."""
        self.pods: dict[ObjectKey, Pod] = {}
        self.nodes: dict[ObjectKey, Node] = {}
        self.services: dict[ObjectKey, Service] = {}
        self._namespaces: dict[ObjectKey, Namespace] = {}
        self._controllers: dict[ObjectKey, Controller] = {}
        self._slices: dict[ObjectKey, EndpointSlice] = {}
        self._policies: dict[ObjectKey, NetworkPolicy] = {}

    async def take_in(self, changes: Sequence[Change], pace: Pace) -> None:
        """Take in a batch as one, in slices; who holds `whole` sees all of it or nothing.

        Cancelled, it leaves a part of the batch out: nobody may go on with this state then.
        """
        async with self.whole:
            async for part in pace.slices(changes):
                for change in part:
                    self.apply(change)

    def apply(self, change: Change) -> None:
        """Take a change in; deleting what is not there is no error."""
        self.version += 1
        gone = change.kind is ChangeKind.DELETED
        match change.object:
            case Pod() as pod:
                _apply(self.pods, pod.key, pod, gone=gone)
            case Node() as node:
                _apply(self.nodes, node.key, node, gone=gone)
            case Service() as service:
                _apply(self.services, service.key, service, gone=gone)
            case Namespace() as namespace:
                _apply(self._namespaces, namespace.key, namespace, gone=gone)
            case Controller() as controller:
                _apply(self._controllers, controller.key, controller, gone=gone)
            case EndpointSlice() as endpoint_slice:
                _apply(self._slices, endpoint_slice.key, endpoint_slice, gone=gone)
            case NetworkPolicy() as policy:
                _apply(self._policies, policy.key, policy, gone=gone)
            case unknown:
                assert_never(unknown)

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Give the namespace's labels; empty as long as it is not known."""
        found = self._namespaces.get(ObjectKey("Namespace", "", namespace))
        return NO_LABELS if found is None else found.labels

    def policies(self) -> tuple[Policy, ...]:
        """Give all policies, by name."""
        return tuple(self._policies[key].policy for key in sorted(self._policies))

    def backends(self, service: ObjectKey) -> tuple[Address, ...]:
        """Give the addresses behind the service that are ready, in order of their slices' names."""
        found = [
            address
            for key, each in sorted(self._slices.items())
            if (key.namespace, each.service) == (service.namespace, service.name)
            for address in each.ready
        ]
        return tuple(dict.fromkeys(found))

    def workload(self, pod: Pod) -> Workload:
        """Say what the pod belongs to, in the words of people: the Deployment, not its ReplicaSet.

        A ReplicaSet's or Job's own owner decides; where that object is not known its name does,
        since both append to their owner's. A pod without owner is its own workload.
        """
        if pod.owner is None:
            return Workload("Pod", pod.key.name)
        kind, name = pod.owner
        known = self._controllers.get(ObjectKey(kind, pod.key.namespace, name))
        if known is not None:
            return Workload(*(known.owner or pod.owner))
        return Workload(*(_owner_by_name(pod.owner, pod.labels.get(HASH_LABEL)) or pod.owner))


def _apply(objects: dict[ObjectKey, V], key: ObjectKey, value: V, *, gone: bool) -> None:
    if gone:
        objects.pop(key, None)
    else:
        objects[key] = value


def _owner_by_name(owner: Owner, template_hash: str | None) -> Owner | None:
    if owner.kind == "ReplicaSet" and template_hash and owner.name.endswith(f"-{template_hash}"):
        return Owner("Deployment", owner.name.removesuffix(f"-{template_hash}"))
    if owner.kind == "Job" and (found := CRON_JOB_NAME.fullmatch(owner.name)):
        return Owner("CronJob", found["cron_job"])
    return None
