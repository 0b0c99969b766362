"""What rows refer to: endpoints, services, interfaces, policies, and the details of rare rows.

All values are immutable and hashable, since they are interned (`observer.table.interns`): a row
holds a small number, the value stands once. A pod whose metadata changes gets a new value, so
that older rows keep saying what was true when their packet passed.

Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, as the table's columns have them.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from api.identities import RESERVED_IDENTITIES
from observer.table.columns import L4Kind

HOST_IDENTITY: Final = 1
WORLD_IDENTITY: Final = 2
FIRST_CLUSTER_IDENTITY: Final = 256
"""From here on identities stand for label sets of pods."""

_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"


class Workload(NamedTuple):
    """What a pod belongs to: a Deployment, a DaemonSet, a Job."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One side of a flow, as it was known when the packet passed."""

    endpoint_id: int
    """Number of the endpoint on this node, 0 if it is not on this node."""
    identity: int
    cluster_name: str
    namespace: str
    labels: tuple[str, ...]
    """Sorted, with their source: `k8s:app=x`, `reserved:world`."""
    pod_name: str
    workloads: tuple[Workload, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service in front of an address."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network device of the node; the name is empty if only its number is known."""

    index: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """A policy that decided about a flow."""

    kind: str
    namespace: str
    name: str
    labels: tuple[str, ...]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LostEvents:
    """Detail of a row of kind LOST: a counted gap."""

    source: int
    """flow.LostEventSource."""
    count: int
    cpu: int | None
    first_ns: int | None
    """Wall time at which the gap began, if known."""
    last_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentNotice:
    """Detail of a row of kind AGENT: something that the agent did."""

    message: bytes
    """flow.AgentEvent, encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """Detail of a row that was captured inside of an encapsulation: the outer headers."""

    protocol: int
    """flow.Tunnel.Protocol."""
    vni: int
    ip_version: int
    """flow.IPVersion."""
    source: bytes
    destination: bytes
    l4_kind: L4Kind
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketTranslation:
    """Detail of a row of kind TRACE_SOCK: which socket of which process group."""

    socket_cookie: int
    cgroup_id: int


def reserved_labels(identity: int) -> tuple[str, ...]:
    """Name the labels of a reserved identity, `("reserved:world",)`; empty for any other."""
    name = RESERVED_IDENTITIES.get(identity)
    return () if name is None else (f"reserved:{name}",)


def address_bytes(address: IPv4Address | IPv6Address) -> bytes:
    """Give the 16 bytes, network order, by which rows and the address book know an address."""
    if isinstance(address, IPv4Address):
        return _MAPPED_PREFIX + address.packed
    return address.packed


def address_text(address: bytes) -> str:
    """Write an address of 16 bytes as Hubble does: IPv4-mapped ones as dotted IPv4."""
    if address.startswith(_MAPPED_PREFIX):
        return str(IPv4Address(address[12:]))
    return str(IPv6Address(address))
