"""What the cluster looks like from one node: who is at which address, and which pods are its own.

In: the cluster's state and the node's own addresses. Out: `NodeView`, plain mappings that the
address book and the datapath's maps should equal. Nothing is written here. Who has an address that
several claim is settled in server.claims. Next: server.endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from observer.entities import (
    HOST_IDENTITY,
    Endpoint,
    Service,
    address_bytes,
    reserved_labels,
)
from policy.reserved import Reserved
from policy.subjects import NO_PORTS, subject_of
from server.claims import Claimants, Claims, Left
from server.cluster.objects import ObjectKey
from server.identities import EndpointIds, assign_identities, identity_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.subjects import NamedPort, Subject
    from server.cluster.objects import Address, Pod
    from server.cluster.state import ClusterState
    from server.identities import LabelSet
    from server.pace import Pace

REMOTE_NODE_IDENTITY = 6
APISERVER = ObjectKey("Service", "default", "kubernetes")
"""Behind it are the addresses of the API server, in every cluster."""


class ServiceAddress(NamedTuple):
    """Where a service answers."""

    address: bytes
    port: int
    protocol: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPod:
    """A pod of this node."""

    pod: Pod
    endpoint_id: int
    identity: int
    addresses: tuple[Address, ...]
    """Those that are its own, without any that another one claims with better right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The cluster as one node needs it."""

    endpoints: Mapping[bytes, Endpoint]
    """Address of 16 bytes → who is there."""
    addresses: Mapping[bytes, int]
    """The same addresses → identity."""
    identities: Mapping[int, LabelSet]
    subjects: Mapping[int, Subject]
    """Identity → how policies see it."""
    services: Mapping[ServiceAddress, Service]
    local: tuple[LocalPod, ...]
    conflicts: Mapping[str, str]
    """Pods and nodes that claim what is another's → why they do not have it."""
    apiserver: frozenset[bytes] = frozenset()
    """Addresses of the cluster's API server."""


class _Labelled(NamedTuple):
    """Labels and addresses of a pod, valid as long as what they came from is the very same."""

    pod: Pod
    namespace_labels: Mapping[str, str]
    labels: LabelSet
    addresses: tuple[bytes, ...]


class Viewer:
    """Draws views of one cluster from one node, and remembers what it numbered.

    What has not changed since the last view is the same object in the next one, down to the whole
    view, so that whoever follows can tell at a glance.
    """

    def __init__(self, *, node_name: str, cluster_name: str) -> None:
        self._node_name = node_name
        self._cluster_name = cluster_name
        self._drawn: tuple[int, frozenset[Address], NodeView] | None = None
        self._claims = Claims()
        self._endpoint_ids = EndpointIds()
        self._labelled: dict[ObjectKey, _Labelled] = {}
        self._samples: dict[LabelSet, Pod] = {}
        self._ports: dict[LabelSet, dict[str, frozenset[NamedPort]]] = {}
        self._subjects: dict[LabelSet, Subject] = {}
        self._numbers: dict[LabelSet, int] = {}
        self._endpoints: dict[ObjectKey, Endpoint] = {}

    def inherit(self, left: Left) -> None:
        """Learn who had which address before this process; before the first view."""
        self._claims.inherit(left)

    async def draw(
        self, state: ClusterState, own_addresses: frozenset[Address], pace: Pace
    ) -> NodeView:
        """Draw the present view; about 10 µs a pod at first and 5 µs later, in slices.

        Raises:
            ValueError: There are more label sets or pods than numbers for them.
        """
        version = state.version
        if self._drawn is not None and self._drawn[:2] == (version, own_addresses):
            return self._drawn[2]
        # one look at the pods: the state may change whenever the loop is handed over
        pods: list[Pod] = []
        async for part in pace.slices(tuple(state.pods.values())):
            pods += [pod for pod in part if not pod.host_network]
        view = await self._draw(state, pods, own_addresses, pace)
        self._drawn = version, own_addresses, view
        return view

    async def _draw(
        self, state: ClusterState, pods: list[Pod], own_addresses: frozenset[Address], pace: Pace
    ) -> NodeView:
        here: list[Pod] = []
        async for each in pace.slices(pods):
            here += [pod for pod in each if pod.node_name == self._node_name]
        ids = self._endpoint_ids.assign(here)
        await self._label(state, pods, pace)
        if self._samples.keys() != self._numbers.keys():
            self._numbers = await assign_identities(self._samples, pace)
        claimants = self._claimants(state, pods, own_addresses, ids)
        settled = await self._claims.settle(claimants, pace)
        apiserver = frozenset(map(address_bytes, state.backends(APISERVER)))
        endpoints = self._nodes(claimants, apiserver)
        endpoints |= await self._inhabitants(state, settled.owners, ids, pace)
        addresses: dict[bytes, int] = {}
        async for part in pace.slices(endpoints.items()):
            addresses |= {address: endpoint.identity for address, endpoint in part}
        return NodeView(
            endpoints=endpoints,
            addresses=addresses,
            identities={number: labels for labels, number in self._numbers.items()},
            subjects=await self._draw_subjects(pace),
            services=_services(state),
            local=self._local(here, settled.owners, ids),
            conflicts=settled.conflicts,
            apiserver=apiserver,
        )

    async def _label(self, state: ClusterState, pods: list[Pod], pace: Pace) -> None:
        """Find the labels of each pod's identity, anew where something changed."""
        before, self._labelled, self._samples, self._ports = self._labelled, {}, {}, {}
        async for part in pace.slices(pods):
            for pod in part:
                of_namespace = state.namespace_labels(pod.key.namespace)
                known = before.get(pod.key)
                if (
                    known is None
                    or known.pod is not pod
                    or known.namespace_labels is not of_namespace
                ):
                    labels = identity_labels(
                        pod, namespace_labels=of_namespace, cluster_name=self._cluster_name
                    )
                    addresses = tuple(address_bytes(address) for address in pod.addresses)
                    known = _Labelled(pod, of_namespace, labels, addresses)
                self._labelled[pod.key] = known
                self._samples[known.labels] = pod
                for name, port in pod.named_ports:
                    ports = self._ports.setdefault(known.labels, {})
                    ports[name] = ports.get(name, frozenset()) | {port}

    async def _draw_subjects(self, pace: Pace) -> dict[int, Subject]:
        """Draw the identities as policies see them."""
        before, self._subjects = self._subjects, {}
        async for part in pace.slices(self._samples):
            for labels in part:
                ports = self._ports.get(labels, NO_PORTS)
                known = before.get(labels)
                if known is None or known.ports != ports:
                    known = subject_of(labels, ports)
                self._subjects[labels] = known
        return {self._numbers[labels]: known for labels, known in self._subjects.items()}

    def _claimants(
        self,
        state: ClusterState,
        pods: list[Pod],
        own_addresses: frozenset[Address],
        ids: Mapping[ObjectKey, int],
    ) -> Claimants:
        return Claimants(
            pods=pods,
            addresses=lambda pod: self._labelled[pod.key].addresses,
            nodes={
                address_bytes(address): node.key
                for node in state.nodes.values()
                for address in node.addresses
            },
            host=frozenset(map(address_bytes, own_addresses)),
            endpoint_id=lambda pod: ids.get(pod.key, 0),
            identity=lambda pod: self._numbers[self._labelled[pod.key].labels],
        )

    def _nodes(self, claimants: Claimants, apiserver: frozenset[bytes]) -> dict[bytes, Endpoint]:
        """Say who is at the nodes' addresses: this node is the host, the others are remote."""
        host, remote = self._reserved(HOST_IDENTITY), self._reserved(REMOTE_NODE_IDENTITY)
        serving = self._reserved(Reserved.KUBE_APISERVER, *remote.labels)
        found = {
            address: host
            if node.name == self._node_name
            else serving
            if address in apiserver
            else remote
            for address, node in claimants.nodes.items()
        }
        return found | dict.fromkeys(claimants.host, host)

    async def _inhabitants(
        self,
        state: ClusterState,
        owners: Mapping[bytes, Pod],
        ids: Mapping[ObjectKey, int],
        pace: Pace,
    ) -> dict[bytes, Endpoint]:
        """Draw the pods as flows show them, by address."""
        before, self._endpoints = self._endpoints, {}
        found: dict[bytes, Endpoint] = {}
        async for part in pace.slices(owners.items()):
            for address, pod in part:
                endpoint = self._endpoints.get(pod.key)
                if endpoint is None:
                    drawn = self._endpoint(state, pod, ids.get(pod.key, 0))
                    known = before.get(pod.key)
                    endpoint = known if known is not None and known == drawn else drawn
                    self._endpoints[pod.key] = endpoint
                found[address] = endpoint
        return found

    def _endpoint(self, state: ClusterState, pod: Pod, endpoint_id: int) -> Endpoint:
        labels = self._labelled[pod.key].labels
        return Endpoint(
            endpoint_id=endpoint_id,
            identity=self._numbers[labels],
            cluster_name=self._cluster_name,
            namespace=pod.key.namespace,
            labels=labels,
            pod_name=pod.key.name,
            workloads=(state.workload(pod),),
        )

    def _reserved(self, identity: int, *more: str) -> Endpoint:
        return Endpoint(
            endpoint_id=0,
            identity=identity,
            cluster_name=self._cluster_name,
            namespace="",
            labels=(*reserved_labels(identity), *more),
            pod_name="",
            workloads=(),
        )

    def _local(
        self, here: list[Pod], owners: Mapping[bytes, Pod], ids: Mapping[ObjectKey, int]
    ) -> tuple[LocalPod, ...]:
        found = []
        for pod in here:
            labelled = self._labelled[pod.key]
            own = zip(pod.addresses, labelled.addresses, strict=True)
            addresses = tuple(address for address, key in own if owners.get(key) is pod)
            if addresses:
                found.append(
                    LocalPod(
                        pod=pod,
                        endpoint_id=ids[pod.key],
                        identity=self._numbers[labelled.labels],
                        addresses=addresses,
                    )
                )
        return tuple(found)


def _services(state: ClusterState) -> dict[ServiceAddress, Service]:
    return {
        ServiceAddress(address_bytes(address), port.port, port.protocol): Service(
            namespace=service.key.namespace, name=service.key.name
        )
        for service in state.services.values()
        for address in service.addresses
        for port in service.ports
    }
