"""Selectors: which identities a policy is about.

By labels (all requirements must hold) or by network (addresses outside the cluster). Made by the
readers of each kind of policy; asked one subject at a time here, for all of them at once by
policy.index. A key names the source of the label, `k8s:app`; `any:app` means whichever has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, assert_never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.subjects import Network, Subject

ANY_SOURCE = "any:"
SOURCES = ("k8s:", "container:", "reserved:")
"""Whose labels `any:` means."""


class Operator(StrEnum):
    """How a requirement compares, in Kubernetes' spelling."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet it; NotIn is met where the label is missing."""
        found = [labels[key] for key in keys_meant(self.key) if key in labels]
        match self.operator:
            case Operator.IN:
                return not self.values.isdisjoint(found)
            case Operator.NOT_IN:
                return self.values.isdisjoint(found)
            case Operator.EXISTS:
                return bool(found)
            case Operator.DOES_NOT_EXIST:
                return not found
        assert_never(self.operator)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """Identities whose labels meet all requirements; with none of them, every identity."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, subject: Subject) -> bool:
        """Tell whether the subject is meant."""
        return all(requirement.holds(subject.labels) for requirement in self.requirements)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSelector:
    """Addresses outside the cluster: of a network without parts of it."""

    network: Network
    excluded: tuple[Network, ...] = ()

    def selects(self, subject: Subject) -> bool:
        """Tell whether all addresses of the subject are meant: networks never overlap in part."""
        if subject.network is None or not _holds(self.network, subject.network):
            return False
        return not any(_holds(each, subject.network) for each in self.excluded)


Peer: TypeAlias = LabelSelector | NetworkSelector


def has_label(key: str) -> LabelSelector:
    """Make the selector of those who have the label, whatever its value."""
    return LabelSelector(requirements=(Requirement(key=key, operator=Operator.EXISTS),))


def keys_meant(key: str) -> tuple[str, ...]:
    """Give the keys that a requirement's key stands for."""
    if not key.startswith(ANY_SOURCE):
        return (key,)
    return tuple(source + key.removeprefix(ANY_SOURCE) for source in SOURCES)


def _holds(wide: Network, narrow: Network) -> bool:
    if wide.version != narrow.version or wide.prefixlen > narrow.prefixlen:
        return False
    shift = wide.max_prefixlen - wide.prefixlen
    return int(wide.network_address) >> shift == int(narrow.network_address) >> shift
