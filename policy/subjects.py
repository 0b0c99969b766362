"""What a policy may know of an identity: labels, named ports, a network.

In: label sets as the cluster's state has them. Out: `Subject`, the same for all who share the
identity; selectors (policy.selectors) choose among them. Labels carry their source, as flows show
them: `k8s:app=x`, `reserved:world`, `cidr:10.0.0.0/8`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from policy.reserved import Reserved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Network: TypeAlias = IPv4Network | IPv6Network

NAMESPACE_KEY = "k8s:io.kubernetes.pod.namespace"
NAMESPACE_LABEL_PREFIX = "io.cilium.k8s.namespace.labels."
CLUSTER_KEY = "k8s:io.cilium.k8s.policy.cluster"


class NamedPort(NamedTuple):
    """A port to which pods have given a name."""

    protocol: int
    number: int


NO_PORTS: Mapping[str, frozenset[NamedPort]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An identity, seen by selectors."""

    labels: Mapping[str, str]
    """`source:key` → value."""
    network: Network | None = None
    """Of an identity that stands for addresses outside the cluster."""
    ports: Mapping[str, frozenset[NamedPort]] = field(default_factory=lambda: NO_PORTS)
    """Name → ports, of all pods that share the identity."""


def subject_of(
    labels: Iterable[str], ports: Mapping[str, frozenset[NamedPort]] = NO_PORTS
) -> Subject:
    """Make the subject of a label set, `k8s:app=x` each; one without `=` has an empty value."""
    found = (label.partition("=") for label in labels)
    return Subject(labels={key: value for key, _, value in found}, ports=ports)


def network_labels(network: Network, *, is_apiserver: bool = False) -> tuple[str, ...]:
    """Name the labels of addresses of this network that no longer network holds."""
    world = world_identity(network).label
    if not network.prefixlen:
        return (world,)
    apiserver = (Reserved.KUBE_APISERVER.label,) if is_apiserver else ()
    return (f"cidr:{network}", *apiserver, world)


def network_subject(network: Network, *, is_apiserver: bool = False) -> Subject:
    """Make the subject of these addresses; all of a family are half of the world."""
    labels = (*network_labels(network, is_apiserver=is_apiserver), Reserved.WORLD.label)
    return Subject(labels=dict.fromkeys(labels, ""), network=network)


def world_identity(network: Network) -> Reserved:
    """Say which half of the world a network is in."""
    return Reserved.WORLD_IPV4 if network.version == 4 else Reserved.WORLD_IPV6


RESERVED_SUBJECTS: Mapping[int, Subject] = MappingProxyType(
    {
        **{int(each): Subject(labels={each.label: ""}) for each in Reserved},
        # nodes on which the API server runs; elsewhere its address is a network of one
        int(Reserved.KUBE_APISERVER): Subject(
            labels={Reserved.KUBE_APISERVER.label: "", Reserved.REMOTE_NODE.label: ""}
        ),
        int(Reserved.WORLD_IPV4): network_subject(IPv4Network("0.0.0.0/0")),
        int(Reserved.WORLD_IPV6): network_subject(IPv6Network("::/0")),
    }
)
"""Those who are always there."""
