"""Local pods ↔ interfaces: behind which device a pod is, and what its MAC address is.

In: a pod, a picture of the node's interfaces and what is enforced. Out: the endpoint as the
datapath must know it, or the reason why it cannot be placed. Next: server.maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from observer.kernel.datapath import EndpointEntry
from policy.entries import Direction
from server.claims import is_same, precedence
from server.cluster.read import INTERFACE_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.entries import PolicyEntry
    from server.cluster.objects import ObjectKey, Pod
    from server.enforcement import Enforcement
    from server.interfaces import Interfaces, Link
    from server.problems import Problems
    from server.view import LocalPod


class PlacementError(Exception):
    """The pod cannot be connected yet; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEndpoint:
    """A local pod as the datapath must know it."""

    entry: EndpointEntry
    policy: tuple[PolicyEntry, ...]
    incarnation: int = 0
    """Of the interface, see server.incarnations."""


class Placement:
    """Places pods round by round; an interface stays with who has it, as an address does."""

    def __init__(self, left: Mapping[int, int]) -> None:
        """Take which endpoint an earlier process left behind which interface, by index."""
        self._left: Mapping[int, int] | None = left
        """None from the first round on."""
        self._links: dict[ObjectKey, tuple[Pod, Link]] = {}
        """Where each pod was found last."""

    def place(
        self,
        local: tuple[LocalPod, ...],
        interfaces: Interfaces,
        enforcement: Enforcement,
        problems: Problems,
    ) -> dict[int, PlacedEndpoint]:
        """Give the endpoints of all pods that can be placed, by id; the others are problems."""
        found: list[tuple[LocalPod, Link]] = []
        known, self._links = self._links, {}
        for pod in local:
            try:
                found.append((pod, find_link(pod, interfaces)))
            except PlacementError as error:
                gone = _gone(known.get(pod.pod.key), interfaces)
                problems.meet(str(pod.pod.key), f"not connected: {gone}{error}")
                if gone:
                    self._links[pod.pod.key] = known[pod.pod.key]
        found.sort(
            key=lambda each: (not self._had(each[0], each[1], known), precedence(each[0].pod))
        )
        placed: dict[int, PlacedEndpoint] = {}
        taken: dict[int, LocalPod] = {}
        for pod, link in found:
            other = taken.setdefault(link.index, pod)
            try:
                if other is not pod:
                    raise PlacementError(f"interface {link.name} leads to {other.pod.key} already")
                self._links[pod.pod.key] = pod.pod, link
                entry = _entry(pod, link, _pod_mac(pod, link, interfaces), enforcement)
            except PlacementError as error:
                problems.meet(str(pod.pod.key), f"not connected: {error}")
            else:
                policy = enforcement.of(pod).entries
                placed[pod.endpoint_id] = PlacedEndpoint(
                    entry=entry, policy=policy, incarnation=link.incarnation
                )
        self._left = None
        return placed

    def _had(self, pod: LocalPod, link: Link, known: Mapping[ObjectKey, tuple[Pod, Link]]) -> bool:
        """Tell whether the pod was behind this interface a moment ago, or before this process."""
        if self._left is not None:
            return self._left.get(link.index) == pod.endpoint_id
        before = known.get(pod.pod.key)
        return before is not None and is_same(before[0], pod.pod) and before[1].index == link.index


def _gone(before: tuple[Pod, Link] | None, interfaces: Interfaces) -> str:
    """Name the interface that was the pod's and is there no more; empty if that is not so."""
    if before is None or before[1].index in interfaces.links:
        return ""
    return f"its interface {before[1].name} is gone; "


def find_link(pod: LocalPod, interfaces: Interfaces) -> Link:
    """Find the host-side interface: the one named by annotation, else where the pod's route leads.

    Raises:
        PlacementError: There is no such interface.
    """
    name = pod.pod.interface
    if name:
        for link in interfaces.links.values():
            if link.name == name:
                return link
        raise PlacementError(f"no interface of the name that {INTERFACE_ANNOTATION} gives: {name}")
    for address in pod.addresses:
        found = interfaces.links.get(interfaces.routes.get(address, 0))
        if found is not None:
            return found
    raise PlacementError(f"no route to {', '.join(map(str, pod.addresses))} alone")


def _pod_mac(pod: LocalPod, link: Link, interfaces: Interfaces) -> bytes:
    """Find the MAC of the pod's end: as the peer link has it, else as the neighbour table does."""
    if link.peer_mac is not None:
        return link.peer_mac
    for address in pod.addresses:
        found = interfaces.neighbours.get((link.index, address))
        if found is not None:
            return found
    raise PlacementError(f"no MAC address known behind interface {link.name}")


def _entry(pod: LocalPod, link: Link, mac: bytes, enforcement: Enforcement) -> EndpointEntry:
    enforced = enforcement.of(pod).enforced
    return EndpointEntry(
        endpoint_id=pod.endpoint_id,
        identity=pod.identity,
        ifindex=link.index,
        ipv4=next((each for each in pod.addresses if isinstance(each, IPv4Address)), None),
        ipv6=next((each for each in pod.addresses if isinstance(each, IPv6Address)), None),
        mac=mac,
        host_mac=link.mac,
        enforce_ingress=Direction.INGRESS in enforced,
        enforce_egress=Direction.EGRESS in enforced,
    )
