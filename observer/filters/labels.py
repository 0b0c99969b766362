"""Labels of endpoints, and requirements on them.

A label of a flow has the form `source:key=value`. A requirement may name the source; without one,
any label with the key counts. With source `cidr` a requirement's key is a network, and every
label whose network lies inside of it counts.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple

ANY_SOURCE: Final = "any"
CIDR_SOURCE: Final = "cidr"
# A key of source `unspec` has none either.
_ANY_SOURCES: Final = (ANY_SOURCE, "unspec")
INTEGER: Final = re.compile(r"[+-]?[0-9]+")

Network = IPv4Network | IPv6Network


class Label(NamedTuple):
    """A parsed label of an endpoint."""

    source: str
    key: str
    value: str


Labels = dict[str, list[Label]]
"""Labels of an endpoint by key; not to be written to."""


@lru_cache(maxsize=1024)
def parse_labels(labels: tuple[str, ...]) -> Labels:
    """Return labels parsed; label sets are few, so the last ones are kept."""
    by_key: Labels = {}
    for text in labels:
        label = _parse_label(text)
        by_key.setdefault(label.key, []).append(label)
    return by_key


def _parse_label(text: str) -> Label:
    name, _, value = text.partition("=")
    source, colon, key = name.partition(":")
    return Label(source, key, value) if colon else Label("unspec", name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on a label; a selector is all of its requirements."""

    source: str
    key: str
    operator: str
    """exists, !, in, notin, > or <; the equality signs are sets of one value."""
    values: frozenset[str]
    """What `in` and `notin` compare with; one number for > and <."""
    network: Network | None
    """The key as a network, where the source is cidr."""

    def matches(self, labels: Labels) -> bool:
        """Judge a set of labels."""
        found = self._find(labels)
        match self.operator:
            case "exists":
                return found is not None
            case "!":
                return found is None
            case "in":
                return found is not None and found.value in self.values
            case "notin":
                return found is None or found.value not in self.values
            case _:
                return found is not None and self._in_order(found.value)

    def _find(self, labels: Labels) -> Label | None:
        for label in labels.get(self.key, ()):
            if self.source in _ANY_SOURCES or self.source == label.source:
                return label
        if self.network is None:
            return None
        every = (label for same_key in labels.values() for label in same_key)
        cidrs = (label for label in every if label.source == CIDR_SOURCE)
        return next((label for label in cidrs if _inside(label.key, self.network)), None)

    def _in_order(self, value: str) -> bool:
        if not INTEGER.fullmatch(value):
            return False
        bound = int(min(self.values))
        return int(value) > bound if self.operator == ">" else int(value) < bound


def parse_network(key: str) -> Network | None:
    """Return the network that a key of source `cidr` stands for; None if it is none."""
    try:
        # Labels write the colons of IPv6 as dashes, since keys may not hold colons.
        return ip_network(key.replace("-", ":"), strict=False)
    except ValueError:
        return None


def _inside(key: str, network: Network) -> bool:
    inner = parse_network(key)
    match (inner, network):
        case (IPv4Network(), IPv4Network()) | (IPv6Network(), IPv6Network()):
            # The versions agree; the checker cannot tell.
            return inner.subnet_of(network)  # type: ignore[union-attr, arg-type]
        case _:
            return False
