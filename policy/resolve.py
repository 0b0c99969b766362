"""Policies and the identities that exist → entries for each endpoint.

Peers are selected by labels, map entries hold numbers, so this runs again when a policy or the set
of identities changes. All endpoints of one identity have the same entries: they are drafted once
per identity, then the rules behind the entries get their cookies (`number_rules`). Next: the
datapath's policy map, and policy.lookup for the evaluator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from policy.entries import ANY_IDENTITY, ANY_PROTOCOL, LAST_PORT, Direction, PolicyEntry
from policy.numbering import assign_numbers
from policy.ports import blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from policy.rules import Policy, Rule, RuleName
    from policy.selectors import Subject

LAST_COOKIE = 2**32 - 1

Origin = tuple["RuleName", ...]
"""The rules that an entry came from, sorted: every one that says the same of its packets."""


class Block(NamedTuple):
    """The packets that an entry stands for; the fields are PolicyEntry's."""

    direction: Direction
    identity: int
    protocol: int
    port: int
    prefix_bits: int

    def covering(self) -> Iterator[Block]:
        """Yield this block and every wider one that holds all of its packets."""
        for identity in {self.identity, ANY_IDENTITY}:
            yield Block(self.direction, identity, ANY_PROTOCOL, 0, 0)
            if self.protocol == ANY_PROTOCOL:
                continue
            for bits in range(self.prefix_bits + 1):
                port = self.port & ~(LAST_PORT >> bits)
                yield Block(self.direction, identity, self.protocol, port, bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The policy of one identity's endpoints, with rules named instead of numbered."""

    enforced: frozenset[Direction]
    """Where a policy governs: what no entry allows is denied there."""
    allowed: Mapping[Block, Origin]
    denied: Mapping[Block, Origin]

    def entries(self, cookies: Mapping[Origin, int]) -> tuple[PolicyEntry, ...]:
        """Give the map entries, sorted; cookies as number_rules gave them."""
        found = [
            _entry(block, cookies[origin], deny=False) for block, origin in self.allowed.items()
        ]
        found += [
            _entry(block, cookies[origin], deny=True) for block, origin in self.denied.items()
        ]
        return tuple(sorted(found, key=_order))


class Resolver:
    """Drafts the policy of endpoints from a fixed set of policies and identities."""

    def __init__(self, policies: Iterable[Policy], identities: Mapping[int, Subject]) -> None:
        self._policies = sorted(policies, key=lambda policy: policy.name)
        self._identities = identities
        self._peers: dict[RuleName, tuple[int, ...]] = {}

    def draft(self, subject: Subject) -> Draft:
        """Draft the policy of an endpoint that looks so."""
        governing = [policy for policy in self._policies if policy.subject.selects(subject)]
        allowed: dict[Block, set[RuleName]] = {}
        denied: dict[Block, set[RuleName]] = {}
        for policy in governing:
            for rule in policy.rules:
                blocks_of = denied if rule.deny else allowed
                for block in self._blocks(rule):
                    blocks_of.setdefault(block, set()).add(rule.name)
        return Draft(
            enforced=frozenset(each for policy in governing for each in policy.directions),
            # Nothing may allow below what denies: a look-up shows the longest match only.
            allowed=_origins(
                {
                    block: rules
                    for block, rules in allowed.items()
                    if not any(wider in denied for wider in block.covering())
                },
                allowed,
            ),
            denied=_origins(denied, denied),
        )

    def _blocks(self, rule: Rule) -> Iterator[Block]:
        for identity in self._identities_of(rule):
            for ports in rule.ports:
                for block in blocks(ports.first, ports.last):
                    yield Block(rule.direction, identity, ports.protocol, *block)

    def _identities_of(self, rule: Rule) -> Sequence[int]:
        if rule.peers is None:
            return (ANY_IDENTITY,)
        found = self._peers.get(rule.name)
        if found is None:
            found = self._peers[rule.name] = tuple(
                identity
                for identity, subject in self._identities.items()
                if any(peer.selects(subject) for peer in rule.peers)
            )
        return found


def number_rules(drafts: Iterable[Draft]) -> dict[Origin, int]:
    """Give a cookie (1..2^32-1) to each set of rules behind entries; it outlives restarts."""
    origins = {
        "\n".join("\t".join(map(str, (*rule.policy, *rule[1:]))) for rule in origin): origin
        for draft in drafts
        for origin in (*draft.allowed.values(), *draft.denied.values())
    }
    numbers = assign_numbers(origins, first=1, last=LAST_COOKIE)
    return {origins[name]: number for name, number in numbers.items()}


def _origins(
    kept: Mapping[Block, set[RuleName]], every: Mapping[Block, set[RuleName]]
) -> dict[Block, Origin]:
    """Find, for each block kept, all rules about it or about a block that covers it."""
    return {
        block: tuple(sorted({rule for wider in block.covering() for rule in every.get(wider, ())}))
        for block in kept
    }


def _entry(block: Block, cookie: int, *, deny: bool) -> PolicyEntry:
    return PolicyEntry(
        direction=block.direction,
        identity=block.identity,
        protocol=block.protocol,
        port=block.port,
        port_prefix_bits=block.prefix_bits,
        deny=deny,
        cookie=cookie,
    )


def _order(entry: PolicyEntry) -> tuple[int, ...]:
    return (entry.direction, entry.identity, entry.protocol, entry.port, entry.port_prefix_bits)
