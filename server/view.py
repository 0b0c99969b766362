"""What the cluster looks like from one node: who is at which address, and which pods are its own.

In: the cluster's state and the node's own addresses. Out: `NodeView`, plain mappings that the
address book and the datapath's maps should equal. Nothing is written here; an address that two
claim goes to one of them, always the same, and is named as a problem. Next: server.endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from observer.entities import HOST_IDENTITY, Endpoint, Service, address_bytes, reserved_labels
from policy.labels import security_labels
from policy.selectors import Subject
from server.identities import EndpointIds, assign_identities, identity_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from server.cluster.objects import Address, ObjectKey, Pod
    from server.cluster.state import ClusterState
    from server.identities import LabelSet
    from server.mirror import Pace
    from server.problems import Problems

REMOTE_NODE_IDENTITY = 6


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
    addresses: Mapping[Address, int]
    """Address → identity, of the same addresses."""
    identities: Mapping[int, LabelSet]
    subjects: Mapping[int, Subject]
    """Identity → how policies see it."""
    services: Mapping[ServiceAddress, Service]
    local: tuple[LocalPod, ...]


class _Known(NamedTuple):
    """Labels of a pod, valid as long as what they came from is the very same."""

    pod: Pod
    namespace_labels: Mapping[str, str]
    labels: LabelSet


class Viewer:
    """Draws views of one cluster from one node, and remembers what it numbered."""

    def __init__(self, *, node_name: str, cluster_name: str, problems: Problems) -> None:
        self._node_name = node_name
        self._cluster_name = cluster_name
        self._problems = problems
        self._endpoint_ids = EndpointIds()
        self._known: dict[ObjectKey, _Known] = {}
        self._samples: dict[LabelSet, Pod] = {}
        self._numbers: dict[LabelSet, int] = {}

    async def draw(
        self, state: ClusterState, own_addresses: Iterable[Address], pace: Pace
    ) -> NodeView:
        """Draw the present view; about 10 µs a pod, in slices.

        Raises:
            ValueError: There are more label sets or pods than numbers for them.
        """
        pods = [pod for pod in state.pods.values() if not pod.host_network]
        await self._learn_labels(state, pods, pace)
        if self._samples.keys() != self._numbers.keys():
            self._numbers = assign_identities(self._samples)
        nodes = self._nodes(state, own_addresses)
        owners = await self._owners(pods, nodes, pace)
        ids = self._endpoint_ids.assign(pod for pod in pods if pod.node_name == self._node_name)
        endpoints = {address_bytes(address): endpoint for address, endpoint in nodes.items()}
        identities = {address: endpoint.identity for address, endpoint in nodes.items()}
        for address, pod in owners.items():
            await pace.step()
            endpoint = self._endpoint(state, pod, ids.get(pod.key, 0))
            endpoints[address_bytes(address)] = endpoint
            identities[address] = endpoint.identity
        return NodeView(
            endpoints=endpoints,
            addresses=identities,
            identities={number: labels for labels, number in self._numbers.items()},
            subjects=self._subjects(),
            services=self._services(state),
            local=self._local(pods, owners, ids),
        )

    async def _learn_labels(self, state: ClusterState, pods: list[Pod], pace: Pace) -> None:
        """Find the labels of each pod's identity, anew where something changed."""
        before, self._known, self._samples = self._known, {}, {}
        for pod in pods:
            await pace.step()
            of_namespace = state.namespace_labels(pod.key.namespace)
            known = before.get(pod.key)
            if known is None or known.pod is not pod or known.namespace_labels is not of_namespace:
                labels = identity_labels(
                    pod, namespace_labels=of_namespace, cluster_name=self._cluster_name
                )
                known = _Known(pod, of_namespace, labels)
            self._known[pod.key] = known
            self._samples[known.labels] = pod

    def _nodes(
        self, state: ClusterState, own_addresses: Iterable[Address]
    ) -> dict[Address, Endpoint]:
        """Who is at the nodes' addresses: this node is the host, the others are remote."""
        host, remote = self._reserved(HOST_IDENTITY), self._reserved(REMOTE_NODE_IDENTITY)
        own = dict.fromkeys(own_addresses, host)
        found: dict[Address, Endpoint] = {}
        for node in state.nodes.values():
            is_own = node.key.name == self._node_name
            found |= dict.fromkeys(node.addresses, host if is_own else remote)
        return found | own

    async def _owners(
        self, pods: list[Pod], nodes: Mapping[Address, Endpoint], pace: Pace
    ) -> dict[Address, Pod]:
        """Whose each address is: of two pods that claim it, the one that is first by name."""
        owners: dict[Address, Pod] = {}
        for pod in pods:
            await pace.step()
            for address in pod.addresses:
                other = owners.get(address)
                if address in nodes:
                    self._problems.meet(str(pod.key), f"its address is a node's: {address}")
                elif other is None:
                    owners[address] = pod
                else:
                    first, second = sorted((pod, other), key=lambda each: each.key)
                    owners[address] = first
                    reason = f"its address is already that of {first.key}: {address}"
                    self._problems.meet(str(second.key), reason)
        return owners

    def _endpoint(self, state: ClusterState, pod: Pod, endpoint_id: int) -> Endpoint:
        labels = self._known[pod.key].labels
        return Endpoint(
            endpoint_id=endpoint_id,
            identity=self._numbers[labels],
            cluster_name=self._cluster_name,
            namespace=pod.key.namespace,
            labels=labels,
            pod_name=pod.key.name,
            workloads=(state.workload(pod),),
        )

    def _reserved(self, identity: int) -> Endpoint:
        return Endpoint(
            endpoint_id=0,
            identity=identity,
            cluster_name=self._cluster_name,
            namespace="",
            labels=reserved_labels(identity),
            pod_name="",
            workloads=(),
        )

    def _subjects(self) -> dict[int, Subject]:
        return {
            self._numbers[labels]: Subject(pod.key.namespace, security_labels(pod.labels))
            for labels, pod in self._samples.items()
        }

    def _services(self, state: ClusterState) -> dict[ServiceAddress, Service]:
        return {
            ServiceAddress(address_bytes(address), port.port, port.protocol): Service(
                namespace=service.key.namespace, name=service.key.name
            )
            for service in state.services.values()
            for address in service.addresses
            for port in service.ports
        }

    def _local(
        self, pods: list[Pod], owners: Mapping[Address, Pod], ids: Mapping[ObjectKey, int]
    ) -> tuple[LocalPod, ...]:
        found = []
        for pod in pods:
            own = tuple(each for each in pod.addresses if owners.get(each) is pod)
            if pod.key in ids and own:
                identity = self._numbers[self._known[pod.key].labels]
                found.append(
                    LocalPod(pod=pod, endpoint_id=ids[pod.key], identity=identity, addresses=own)
                )
        return tuple(found)
