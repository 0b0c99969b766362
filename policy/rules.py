"""The intermediate form: what every kind of policy compiles to.

A policy has sections. Each selects identities (its subject), says in which directions it isolates
them, and lists rules; what is isolated is denied unless a rule allows it, and what a rule denies is
denied whatever others allow. Nothing here knows how a policy was written, nor which identities
exist: the readers make it (policy.networkpolicy, policy.ciliumpolicy), policy.compiler turns it
into map entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.entries import Direction
    from policy.ports import Ports
    from policy.selectors import LabelSelector, Peer


class PolicyName(NamedTuple):
    """Which object a rule came from."""

    kind: str
    namespace: str
    """Empty for kinds that have none."""
    name: str


class RuleName(NamedTuple):
    """One rule of a policy; the same as long as it stands at the same place."""

    policy: PolicyName
    direction: Direction
    path: str
    """Where it is written, `spec.ingress[0]`; that of the section for its isolating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Allows or denies what is to or from its peers, on its ports."""

    name: RuleName
    peers: tuple[Peer, ...] | None
    """Who is meant, any one of these; None is everybody, also outside the cluster."""
    ports: tuple[Ports, ...]
    """Destination ports, any one of these; policy.ports.EVERYTHING where all are meant."""
    deny: bool = False

    @property
    def direction(self) -> Direction:
        """Which way the packets go that it is about."""
        return self.name.direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One `spec` of a policy."""

    path: str
    subject: LabelSelector
    isolates: frozenset[Direction]
    """Where no packet passes without a rule that allows it."""
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy object."""

    name: PolicyName
    labels: tuple[str, ...]
    """`k8s:key=value`, sorted: how flows name the policy."""
    sections: tuple[Section, ...]
    is_audited: bool = False
    """What it alone would deny is told and passes."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all sections."""
        return tuple(rule for section in self.sections for rule in section.rules)

    def selectors(self) -> Iterator[Peer]:
        """Yield every selector of a peer."""
        for rule in self.rules:
            yield from rule.peers or ()
