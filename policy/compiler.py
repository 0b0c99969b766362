"""Policies and the identities that exist → map entries of each endpoint, and again as they change.

    policies ──► sections, rules ─┐
                                  ├─► masks: whom they mean ──► draft of an endpoint ──► entries
    subjects ──► index ───────────┘

Peers are selected by labels, map entries hold numbers, so a change of either may change entries.
What a draft depends on is compared before it is made again: an identity more costs the endpoints
whose rules mean it, a policy more those that it selects. Next: the datapath's policy map, and
policy.lookup or policy.evaluate for who asks without a packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from policy.cookies import Cookies
from policy.drafting import LearnedRule, LearnedSection, Profile, draft
from policy.index import IdentityIndex
from policy.ports import PortName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from policy.drafting import Tables
    from policy.entries import Direction, PolicyEntry
    from policy.porttable import Origin
    from policy.rules import Policy, PolicyName
    from policy.subjects import Subject

MOST_ENTRIES = 65_536
"""For one endpoint: a quarter of the map that all endpoints of a node share."""
ENTRIES_A_STEP = 256
"""About 0.7 ms."""
SPARE_BITS = 1_024
"""Bits of identities that are gone, beyond which the index is made anew."""


class TooManyEntriesError(ValueError):
    """The rules of an endpoint mean more than a map can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPolicy:
    """What is enforced at the endpoints of one profile."""

    enforced: frozenset[Direction]
    """Where anything is looked up; elsewhere everything passes."""
    entries: tuple[PolicyEntry, ...]


class _Made(NamedTuple):
    """A draft, and what it was made of."""

    signature: tuple[object, ...]
    policy: EndpointPolicy
    origins: frozenset[Origin]


@dataclass(slots=True)
class _Known:
    """Policies and identities as they were last learned."""

    index: IdentityIndex = field(default_factory=IdentityIndex)
    sections: dict[PolicyName, tuple[Policy, tuple[LearnedSection, ...]]] = field(
        default_factory=dict
    )
    governing: dict[int, list[LearnedSection]] = field(default_factory=dict)
    """Identity → the sections that select it."""
    tables: Tables = field(default_factory=dict)
    ports_version: int = 0
    """Grows when the named ports of an identity change: rules may mean other numbers."""


class Compiler:
    """Compiles what it has learned; keeps what has not changed."""

    def __init__(self) -> None:
        self._known = _Known()
        self._made: dict[Profile, _Made] = {}
        self._cookies = Cookies()
        self._numbers = count(1)
        self._is_whole = True

    @property
    def rules(self) -> Mapping[int, Origin]:
        """Cookie → the rules that it stands for, of all drafts."""
        return self._cookies.rules

    @property
    def subjects(self) -> Mapping[int, Subject]:
        """Identity → subject, as last learned."""
        return MappingProxyType(self._known.index.subjects)

    def learn(self, policies: Sequence[Policy], subjects: Mapping[int, Subject]) -> Iterator[None]:
        """Learn how policies and identities are now; iterate to the end, each step is short.

        Who stops half-way learns it all the next time.
        """
        if len(self._known.index.identities) > 2 * len(subjects) + SPARE_BITS:
            # drafts compare masks, whose bits mean something else from now on
            self._known = _Known(ports_version=self._known.ports_version + 1)
            self._numbers = count(next(self._numbers))
        is_changed, self._is_whole = not self._is_whole, False
        for step in self._learn_subjects(subjects):
            is_changed |= step
            yield
        yield from self._learn_policies(policies, is_changed=is_changed)
        self._is_whole = True

    def governing(self, identity: int) -> Sequence[LearnedSection]:
        """Give the sections that select the identity."""
        return self._known.governing.get(identity, ())

    def compile(self, profile: Profile) -> EndpointPolicy:
        """Give the policy of such endpoints, the same object while it is the same.

        Raises:
            TooManyEntriesError: There are more than MOST_ENTRIES; what was made before stays.
        """
        for _ in self.prepare(profile):
            pass
        return self._made[profile].policy

    def prepare(self, profile: Profile) -> Iterator[None]:
        """Compile in short steps; iterate to the end, then `compile` has nothing more to do.

        Raises:
            TooManyEntriesError: As there.
        """
        sections = self.governing(profile.identity)
        signature = (
            self._known.ports_version if any(each.has_names for each in sections) else 0,
            *((rule.number, rule.mask) for section in sections for rule in section.rules),
            *(section.number for section in sections),
        )
        made = self._made.get(profile)
        if made is not None and made.signature == signature:
            return
        found = draft(profile, sections, self._known.index, self._known.tables)
        if found.entry_count > MOST_ENTRIES:
            reason = f"compile policy: {found.entry_count} entries, at most {MOST_ENTRIES}"
            raise TooManyEntriesError(reason)
        yield
        origins = found.origins()
        self._cookies.take(origins)
        entries: list[PolicyEntry] = []
        try:
            for entry in found.entries(self._cookies.number):
                entries.append(entry)
                if len(entries) % ENTRIES_A_STEP == 0:
                    yield
        except GeneratorExit:
            self._cookies.release(origins)
            raise
        self._keep(
            profile,
            signature,
            EndpointPolicy(enforced=found.enforced, entries=tuple(entries)),
            origins,
        )

    def keep_only(self, profiles: Collection[Profile]) -> None:
        """Forget the drafts of all other profiles."""
        for profile in self._made.keys() - set(profiles):
            self._cookies.release(self._made.pop(profile).origins)

    def _keep(
        self,
        profile: Profile,
        signature: tuple[object, ...],
        policy: EndpointPolicy,
        origins: frozenset[Origin],
    ) -> None:
        """Keep what was made; what is equal to what was before is the same object."""
        before = self._made.get(profile)
        if before is not None:
            self._cookies.release(before.origins)
            policy = before.policy if before.policy == policy else policy
        self._made[profile] = _Made(signature, policy, origins)

    def _learn_subjects(self, subjects: Mapping[int, Subject]) -> Iterator[bool]:
        """Bring the index up to date; each step says whether anything was different."""
        index = self._known.index
        for identity in index.subjects.keys() - subjects.keys():
            self._known.ports_version += bool(index.subjects[identity].ports)
            index.drop(identity)
            yield True
        for identity, subject in subjects.items():
            known = index.subjects.get(identity)
            is_changed = index.put(identity, subject)
            if is_changed and (subject.ports or (known is not None and known.ports)):
                self._known.ports_version += 1
            yield is_changed

    def _learn_policies(self, policies: Sequence[Policy], *, is_changed: bool) -> Iterator[None]:
        before, sections = self._known.sections, {}
        for policy in sorted(policies, key=lambda each: each.name):
            known = before.get(policy.name)
            if known is None or (known[0] is not policy and known[0] != policy):
                known = (policy, tuple(self._sections(policy)))
                self._select(known[1])
                is_changed = True
                self._known.tables.clear()
            elif is_changed:
                self._select(known[1])
            sections[policy.name] = known
            yield
        self._known.sections = sections
        if is_changed or before.keys() != sections.keys():
            yield from self._find_governing()

    def _sections(self, policy: Policy) -> Iterator[LearnedSection]:
        for section in policy.sections:
            rules = tuple(
                LearnedRule(number=next(self._numbers), rule=rule) for rule in section.rules
            )
            yield LearnedSection(
                number=next(self._numbers),
                policy=policy,
                section=section,
                rules=rules,
                has_names=any(
                    isinstance(p, PortName) for rule in section.rules for p in rule.ports
                ),
            )

    def _select(self, sections: Sequence[LearnedSection]) -> None:
        """Find whom the sections and their rules mean."""
        index = self._known.index
        for section in sections:
            section.mask = index.select(section.section.subject)
            for rule in section.rules:
                peers = rule.rule.peers
                rule.mean(None if peers is None else index.select_any(peers))

    def _find_governing(self) -> Iterator[None]:
        index, governing = self._known.index, self._known.governing
        governing.clear()
        for _, sections in self._known.sections.values():
            for section in sections:
                for bit in index.members(section.mask):
                    governing.setdefault(index.identities[bit], []).append(section)
            yield
