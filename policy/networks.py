"""Networks as policies write them: a CIDR, and parts of it that are excepted.

In: fields. Out: networks; an address alone is a network of one, bits below the prefix do not count.
Readers: policy.networkpolicy and policy.ciliumpeers. And from policies, which networks must have an
identity of their own for these policies to tell them apart.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from policy.reserved import Reserved
from policy.selectors import NetworkSelector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.fields import Field
    from policy.rules import Policy
    from policy.subjects import Network

HALVES: dict[str, Network] = {
    Reserved.WORLD_IPV4.label: ip_network("0.0.0.0/0"),
    Reserved.WORLD_IPV6.label: ip_network("::/0"),
}
"""Labels of the world's halves → all of their addresses."""


def read_network(field: Field) -> Network:
    """Read a network; FieldError if it is none."""
    try:
        return ip_network(field.text(), strict=False)
    except ValueError:
        raise field.error("a network such as 10.0.0.0/8") from None


def read_network_selector(field: Field) -> NetworkSelector:
    """Read `cidr` with `except`.

    Raises:
        FieldError: One is no network, or what is excepted is not within.
    """
    network = read_network(field["cidr"])
    excluded = []
    for each in field["except"].items():
        part = read_network(each)
        if part.version != network.version or not part.subnet_of(network):  # type: ignore[arg-type]
            raise each.error(f"a part of {network}")
        excluded.append(part)
    return NetworkSelector(network=network, excluded=tuple(excluded))


def asks_for_apiserver(policies: Iterable[Policy]) -> bool:
    """Tell whether a rule names the API server of the cluster."""
    key = Reserved.KUBE_APISERVER.label
    return any(
        each.key == key
        for policy in policies
        for selector in policy.selectors()
        if not isinstance(selector, NetworkSelector)
        for each in selector.requirements
    )


def named_networks(policies: Iterable[Policy]) -> frozenset[Network]:
    """Find all networks that rules tell apart from what is around them."""
    found: set[Network] = set()
    for policy in policies:
        for selector in policy.selectors():
            if isinstance(selector, NetworkSelector):
                found |= {selector.network, *selector.excluded}
            else:
                halves = (HALVES.get(each.key) for each in selector.requirements)
                found |= {each for each in halves if each is not None}
    return frozenset(found)
