"""Rules and selectors in words, for people who ask why.

In: the intermediate form. Out: short texts in the spelling of the documents: `k8s:app=web`,
`80-90/TCP`, `10.0.0.0/8 except 10.1.0.0/16`. Nothing is decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from policy.entries import ANY_PROTOCOL, LAST_PORT
from policy.ports import ICMP_PROTOCOL, ICMPV6_PROTOCOL, PROTOCOL_NUMBERS, PortName, PortRange
from policy.selectors import LabelSelector, NetworkSelector, Operator, keys_meant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.ports import Ports
    from policy.selectors import Peer, Requirement
    from policy.subjects import Subject

PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()} | {
    ICMP_PROTOCOL: "ICMP",
    ICMPV6_PROTOCOL: "ICMPv6",
}


def protocol_name(protocol: int) -> str:
    """Name a protocol, by its number where it has no name here."""
    return PROTOCOL_NAMES.get(protocol, str(protocol))


def peer_text(peer: Peer) -> str:
    """Write whom a selector means."""
    match peer:
        case LabelSelector():
            return ", ".join(map(requirement_text, peer.requirements)) or "every identity"
        case NetworkSelector():
            excluded = ", ".join(map(str, peer.excluded))
            return f"{peer.network} except {excluded}" if excluded else str(peer.network)
    assert_never(peer)


def requirement_text(requirement: Requirement) -> str:
    """Write one condition."""
    values = ", ".join(sorted(requirement.values))
    match requirement.operator:
        case Operator.IN:
            only_one = len(requirement.values) == 1
            return f"{requirement.key}={values}" if only_one else f"{requirement.key} in ({values})"
        case Operator.NOT_IN:
            return f"{requirement.key} not in ({values})"
        case Operator.EXISTS:
            return requirement.key
        case Operator.DOES_NOT_EXIST:
            return f"no {requirement.key}"
    assert_never(requirement.operator)


def ports_text(ports: Ports) -> str:
    """Write ports; of ICMP they are types."""
    match ports:
        case PortName():
            return f"{ports.name}/{'+'.join(map(protocol_name, ports.protocols))}"
        case PortRange(protocol=protocol, first=first, last=last):
            if protocol == ANY_PROTOCOL:
                return "everything"
            if (first, last) == (0, LAST_PORT):
                return protocol_name(protocol)
            number = str(first) if first == last else f"{first}-{last}"
            return f"{number}/{protocol_name(protocol)}"
    assert_never(ports)


def miss_text(peer: Peer, subject: Subject) -> str:
    """Say why a selector does not mean the subject."""
    if isinstance(peer, NetworkSelector):
        if subject.network is None:
            return f"{peer_text(peer)} means addresses outside the cluster"
        return f"{peer_text(peer)} does not hold it"
    for requirement in peer.requirements:
        if not requirement.holds(subject.labels):
            return (
                f"needs {requirement_text(requirement)}, has {_found(requirement, subject.labels)}"
            )
    return "is meant"


def _found(requirement: Requirement, labels: Mapping[str, str]) -> str:
    found = [f"{key}={labels[key]}" for key in keys_meant(requirement.key) if key in labels]
    return ", ".join(found) or "no such label"
