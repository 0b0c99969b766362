"""Typed views of Kubernetes objects: the fields that this node acts on.

Values only; `server.cluster.read` makes them from documents. Two views are equal when nothing that
matters here has changed, so that a change of, say, a container's image is no change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.rules import Policy
    from policy.subjects import NamedPort

Address: TypeAlias = IPv4Address | IPv6Address
Document: TypeAlias = "Mapping[str, object]"


CONTAINER_KIND = "Container"
CONTAINER_API_VERSION = "leavitt.io/v1"
"""Of our own: a container of this machine that no cluster knows, see server.containers."""


class ObjectKey(NamedTuple):
    """Which object: unique among all that exist at one time."""

    kind: str
    namespace: str
    """Empty for kinds that have none."""
    name: str

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {path}"


class Owner(NamedTuple):
    """The controller that made an object, always of the same namespace."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace and its labels."""

    key: ObjectKey
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster."""

    key: ObjectKey
    addresses: tuple[Address, ...]
    """Internal addresses, then external ones."""
    hubble_port: int | None
    """Where its server answers, if an annotation says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod; without addresses while it waits for them and after it has finished.

    Or a container that no cluster knows: then the key says so.
    """

    key: ObjectKey
    uid: str
    """Empty where the document has none."""
    created_s: int | None = None
    """Since 1970; None where the document does not say."""
    labels: Mapping[str, str]
    owner: Owner | None
    node_name: str
    """Empty while it is not scheduled."""
    service_account: str
    addresses: tuple[Address, ...]
    host_network: bool
    """It shares its node's addresses and is no endpoint of its own."""
    interface: str
    """Host-side interface named by annotation, empty where it must be found."""
    named_ports: tuple[tuple[str, NamedPort], ...] = ()
    """Ports to which its containers have given names, sorted."""
    is_audited: bool = False
    """What policies would deny it is told and passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What pods may belong to: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob."""

    key: ObjectKey
    owner: Owner | None


class ServicePort(NamedTuple):
    """A port on which a service answers."""

    protocol: int
    """IP protocol number."""
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service and where it is reached."""

    key: ObjectKey
    addresses: tuple[Address, ...]
    """Cluster, external and load balancer addresses; none for a headless service."""
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSlice:
    """Some of the addresses behind a service."""

    key: ObjectKey
    service: str
    """Name of the service, of the same namespace; empty where none is named."""
    ready: tuple[Address, ...]
    """Addresses that take new connections."""
    ports: tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """A network policy, of Kubernetes or Cilium, that is understood as a whole."""

    key: ObjectKey
    policy: Policy


ClusterObject: TypeAlias = (
    Namespace | Node | Pod | Controller | Service | EndpointSlice | NetworkPolicy
)


class ChangeKind(StrEnum):
    """What happened to an object, in the words of a Kubernetes watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object that came, changed or went."""

    kind: ChangeKind
    object: ClusterObject
    """As it is now; as it last was when it went."""
    document: Document
    """The object as it was written, for recordings."""
