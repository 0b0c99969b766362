"""The policy of one endpoint, drafted from the sections that select it.

In: sections and rules with the masks of whom they mean. Out: a `Draft`: for each peer the rows of
its ports (policy.porttable), with rules named instead of numbered. Peers about whom the same rules
speak share one table. Called by policy.compiler.

Audited policies and endpoints: what an audited policy alone would deny is told and passes. So its
denials are of the severity AUDIT, and where a policy that is enforced isolates, what the audited
one allows counts for nothing. At an audited endpoint all denials are only told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from policy.entries import ANY_IDENTITY, HOST_IDENTITY, NO_RULE, Direction, PolicyEntry
from policy.ports import EVERY_BLOCK, EVERYTHING, PortName
from policy.porttable import ALLOW, AUDIT, DENY, Clause, Origin, Row, table
from policy.rules import RuleName
from policy.subjects import NO_PORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from policy.index import IdentityIndex
    from policy.rules import Policy, Rule, Section
    from policy.subjects import NamedPort

    Names = Mapping[str, frozenset[NamedPort]]

Tables = dict[tuple[object, ...], tuple[Row, ...]]
"""Tables made before, by what they were made of."""


class Profile(NamedTuple):
    """What endpoints must share to have the same policy."""

    identity: int
    ports: tuple[tuple[str, NamedPort], ...] = ()
    """Ports that the endpoint has named itself, sorted: rules about what comes in may use them."""
    is_audited: bool = False

    def named_ports(self) -> Names:
        """Give the ports by name."""
        found: dict[str, set[NamedPort]] = {}
        for name, port in self.ports:
            found.setdefault(name, set()).add(port)
        return {name: frozenset(ports) for name, ports in found.items()}


@dataclass(slots=True, kw_only=True)
class LearnedRule:
    """A rule, and whom it means at present."""

    number: int
    """Never that of another rule."""
    rule: Rule
    mask: int | None = None
    """Of its peers in the index; None: everybody."""
    clauses: dict[int, Clause] = field(default_factory=dict)
    """Severity → the rule as it counts then."""

    def mean(self, mask: int | None) -> None:
        """Say whom it means."""
        self.mask = mask

    def clause(self, severity: int) -> Clause:
        """Give the rule as it counts, the same object every time."""
        found = self.clauses.get(severity)
        if found is None:
            found = Clause(self.rule.name, severity, self.rule.ports)
            self.clauses[severity] = found
        return found


@dataclass(slots=True, kw_only=True)
class LearnedSection:
    """A section, and whom it selects at present."""

    number: int
    policy: Policy
    section: Section
    rules: tuple[LearnedRule, ...]
    has_names: bool
    """Whether a rule names a port."""
    mask: int = 0


@dataclass(slots=True)
class Draft:
    """The policy of an endpoint."""

    enforced: frozenset[Direction] = frozenset()
    tables: dict[tuple[Direction, int], tuple[Row, ...]] = field(default_factory=dict)
    """By direction and identity of the peer."""

    @property
    def entry_count(self) -> int:
        """How many entries it makes."""
        return sum(map(len, self.tables.values()))

    def origins(self) -> frozenset[Origin]:
        """Give all sets of rules that entries come from."""
        return frozenset(row.origin for rows in set(self.tables.values()) for row in rows)

    def entries(self, cookie_of: Callable[[Origin], int]) -> Iterator[PolicyEntry]:
        """Yield the entries, ordered."""
        for (direction, identity), rows in sorted(self.tables.items()):
            for block, severity, origin in rows:
                yield PolicyEntry(
                    direction=direction,
                    identity=identity,
                    protocol=block.protocol,
                    port=block.port,
                    port_prefix_bits=block.prefix_bits,
                    deny=severity != ALLOW,
                    audit=severity == AUDIT,
                    cookie=cookie_of(origin),
                )


def draft(
    profile: Profile, sections: Sequence[LearnedSection], index: IdentityIndex, tables: Tables
) -> Draft:
    """Draft the policy of endpoints that these sections select."""
    found = Draft()
    for direction in Direction:
        speaking = _Speaking(profile, direction, sections)
        if speaking.is_silent:
            continue
        found.enforced |= {direction}
        for identity, rows in _tables(speaking, index, tables).items():
            if rows:
                found.tables[direction, identity] = rows
    return found


class _Speaking:
    """What the sections say of one direction."""

    def __init__(
        self, profile: Profile, direction: Direction, sections: Sequence[LearnedSection]
    ) -> None:
        self.direction = direction
        self.names = profile.named_ports() if direction is Direction.INGRESS else NO_PORTS
        isolating = [each for each in sections if direction in each.section.isolates]
        hard = [each for each in isolating if not each.policy.is_audited]
        self.isolated_by: Origin = tuple(
            sorted(
                RuleName(each.policy.name, direction, each.section.path)
                for each in hard or isolating
            )
        )
        self.default = DENY if hard and not profile.is_audited else AUDIT
        self.clauses: list[tuple[LearnedRule, Clause]] = []
        for section in sections:
            is_audited = section.policy.is_audited or profile.is_audited
            counts = not section.policy.is_audited or profile.is_audited or not hard
            for rule in section.rules:
                if rule.rule.direction is not direction:
                    continue
                if rule.rule.deny:
                    self.clauses.append((rule, rule.clause(AUDIT if is_audited else DENY)))
                elif counts:
                    self.clauses.append((rule, rule.clause(ALLOW)))

    @property
    def is_silent(self) -> bool:
        """Whether nothing is enforced."""
        return not self.isolated_by and not self.clauses


_OPEN = Clause(None, ALLOW, (EVERYTHING,))
"""What no rule is about passes: nothing isolates the endpoint."""


def _tables(
    speaking: _Speaking, index: IdentityIndex, tables: Tables
) -> dict[int, tuple[Row, ...]]:
    """Give the rows by identity of the peer, ANY_IDENTITY and NO_RULE included."""
    everybody, own = _by_peer(speaking, index)
    if speaking.direction is Direction.INGRESS:
        _open_to_host(own, everybody, index)
    found: dict[int, tuple[Row, ...]] = {}
    if speaking.isolated_by:
        found[NO_RULE] = (Row(EVERY_BLOCK, speaking.default, speaking.isolated_by),)
    else:
        everybody = (*everybody, _OPEN)
    default = speaking.default if speaking.isolated_by else ALLOW
    found[ANY_IDENTITY] = _table(everybody, (), speaking.names, default, tables)
    is_egress = speaking.direction is Direction.EGRESS
    # the rows of clauses that name no port are the same for all peers
    nameless: dict[tuple[Clause, ...], tuple[Row, ...]] = {}
    for bit, clauses in own.items():
        identity, key = index.identities[bit], tuple(clauses)
        rows = nameless.get(key)
        if rows is None:
            names = index.subjects[identity].ports if is_egress else speaking.names
            rows = _table(key, everybody, names, default, tables)
            if not is_egress or not _used_names((*key, *everybody)):
                nameless[key] = rows
        found[identity] = rows
    return found


def _open_to_host(
    own: dict[int, list[Clause]], everybody: Sequence[Clause], index: IdentityIndex
) -> None:
    """Write down that the host passes, where an audit would otherwise have nothing to speak of."""
    if HOST_IDENTITY not in index.subjects:
        return
    [bit] = index.members(index.bit(HOST_IDENTITY))
    clauses = own.get(bit, [])
    if any(clause.severity == AUDIT for clause in (*clauses, *everybody)):
        own[bit] = [*clauses, _OPEN]


def _by_peer(
    speaking: _Speaking, index: IdentityIndex
) -> tuple[tuple[Clause, ...], dict[int, list[Clause]]]:
    """Sort the clauses: those about everybody, and by bit of the identity those about others."""
    everybody: list[Clause] = []
    own: dict[int, list[Clause]] = {}
    for rule, clause in speaking.clauses:
        mask = rule.mask
        if mask is None:
            everybody.append(clause)
            mask = _naming(clause, speaking, index)
        for bit in index.members(mask):
            own.setdefault(bit, []).append(clause)
    return tuple(everybody), own


def _naming(clause: Clause, speaking: _Speaking, index: IdentityIndex) -> int:
    """Find the peers about whom a clause about everybody says more: their ports have its names."""
    names = {each.name for each in clause.ports if isinstance(each, PortName)}
    if not names or speaking.direction is Direction.INGRESS:
        return 0
    return sum(
        index.bit(identity)
        for identity, subject in index.subjects.items()
        if not names.isdisjoint(subject.ports)
    )


def _table(
    own: tuple[Clause, ...],
    everybody: tuple[Clause, ...],
    names: Names,
    default: int,
    tables: Tables,
) -> tuple[Row, ...]:
    used = _used_names((*own, *everybody))
    key = (own, everybody, tuple((name, names.get(name)) for name in sorted(used)), default)
    rows = tables.get(key)
    if rows is None:
        rows = tables[key] = table(own, everybody, names, default=default)
    return rows


def _used_names(clauses: Sequence[Clause]) -> set[str]:
    """Give the names of ports that the clauses use."""
    return {port.name for clause in clauses for port in clause.ports if isinstance(port, PortName)}
