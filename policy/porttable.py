"""What several rules together say of the ports of one peer.

In: the rules that are about a peer, and those about everybody, each with its ports and how severe
it is. Out: rows, one for each block of ports, such that the longest match decides as all rules do.
A trie shows only the longest match, so no row is left below a more severe one. Each row knows
all rules that say the same of its packets: they are what flows name. Next: policy.compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from policy.ports import PortBlock, PortName, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policy.ports import Ports
    from policy.rules import RuleName
    from policy.subjects import NamedPort

ALLOW, AUDIT, DENY = range(3)
"""How severe a rule is: entries.PolicyEntry.severity."""

Origin = tuple["RuleName", ...]
"""The rules that a row came from, sorted; empty where it is not any rule's."""


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A rule as it counts for one endpoint."""

    name: RuleName | None
    """None: what passes because nothing isolates the endpoint."""
    severity: int
    ports: tuple[Ports, ...]


class Row(NamedTuple):
    """What is said of a block."""

    block: PortBlock
    severity: int
    origin: Origin


Said = dict[PortBlock, list[Clause]]


def table(
    own: Sequence[Clause],
    everybody: Sequence[Clause],
    named_ports: Mapping[str, frozenset[NamedPort]],
    *,
    default: int,
) -> tuple[Row, ...]:
    """Give the rows of a peer.

    Args:
        own: The clauses about the peer; the rows are theirs.
        everybody: Those about every peer. They have rows of their own; here they make rows vanish
            that they overrule, and are named where they say the same.
        named_ports: Where names of ports are looked up.
        default: How severe it is that no clause is about a packet.
    """
    wanted = _said(own, named_ports)
    said = wanted if not everybody else _said((*own, *everybody), named_ports)
    if default == DENY and any(clause.severity == AUDIT for clause in (*own, *everybody)):
        wanted, said = _confined(wanted, said, own)
    rows = []
    for block in wanted:
        about = [each for wider in block.covering() for each in said.get(wider, ())]
        severity = max(clause.severity for clause in wanted[block])
        if severity == max(clause.severity for clause in about):
            same = {each.name for each in about if each.severity == severity}
            origin = tuple(sorted(name for name in same if name is not None))
            rows.append(Row(block, severity, origin))
    return tuple(rows)


def _confined(wanted: Said, said: Said, own: Sequence[Clause]) -> tuple[Said, Said]:
    """Let audits speak only of what is allowed: what nobody allows is denied, not told.

    Two blocks are apart, or one holds the other; then the narrower is what both are about.
    """
    audits = [(b, each) for b, found in said.items() for each in found if each.severity == AUDIT]
    allowed = [(b, each) for b, found in said.items() for each in found if each.severity == ALLOW]
    mine = {block: _without_audits(found) for block, found in wanted.items()}
    every = {block: _without_audits(found) for block, found in said.items()}
    for block, clause in audits:
        for other, allowing in allowed:
            both = _common(block, other)
            if both is None:
                continue
            every.setdefault(both, []).append(clause)
            if clause in own or allowing in own:
                mine.setdefault(both, []).append(clause)
    return {b: found for b, found in mine.items() if found}, every


def _without_audits(clauses: Sequence[Clause]) -> list[Clause]:
    return [each for each in clauses if each.severity != AUDIT]


def _common(one: PortBlock, other: PortBlock) -> PortBlock | None:
    if one in other.covering():
        return other
    return one if other in one.covering() else None


def _said(clauses: Sequence[Clause], named_ports: Mapping[str, frozenset[NamedPort]]) -> Said:
    found: Said = {}
    for clause in clauses:
        for block in _blocks(clause, named_ports):
            found.setdefault(block, []).append(clause)
    return found


def _blocks(clause: Clause, named_ports: Mapping[str, frozenset[NamedPort]]) -> Iterator[PortBlock]:
    for ports in clause.ports:
        if isinstance(ports, PortName):
            for found in ports.among(named_ports):
                yield from blocks(found)
        else:
            yield from blocks(ports)
