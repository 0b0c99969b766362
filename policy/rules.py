"""The intermediate form: what every kind of policy compiles to.

A policy selects pods (its subject) and, for the directions it governs, lists rules; a governed
direction is denied unless a rule allows it. Nothing here knows how a policy was written, nor which
identities exist: policy.networkpolicy makes it, policy.resolve turns it into map entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from policy.entries import Direction
    from policy.ports import PortRange
    from policy.selectors import PodSelector


class PolicyName(NamedTuple):
    """Which object a rule came from."""

    kind: str
    namespace: str
    name: str


class RuleName(NamedTuple):
    """One rule of a policy; the same as long as it stands at the same place."""

    policy: PolicyName
    direction: Direction
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Allows (or denies) what is to or from its peers, on its ports."""

    name: RuleName
    peers: tuple[PodSelector, ...] | None
    """Who is meant, any one of these; None is everybody, also outside the cluster."""
    ports: tuple[PortRange, ...]
    """Destination ports, any one of these; policy.ports.EVERYTHING where all are meant."""
    deny: bool = False

    @property
    def direction(self) -> Direction:
        """Which way the packets go that it is about."""
        return self.name.direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy object."""

    name: PolicyName
    labels: tuple[str, ...]
    """`k8s:key=value`, sorted: how flows name the policy."""
    subject: PodSelector
    directions: frozenset[Direction]
    """Where it governs: no packet passes there without a rule that allows it."""
    rules: tuple[Rule, ...]
