"""The order in which policy entries are looked up: defined here, followed by bpf/include/policy.h.

For a packet of one direction, with its peer's identity, protocol and destination port (of ICMP the
type stands for the port):

    1. own     among entries of the peer's identity, the one that matches with the most bits of
               protocol and port (0 any, 8 protocol, 9..24 protocol and upper bits of the port)
    2. anyone  the same among entries of identity 0, which stands for every peer
       The more severe of the two decides: a denial, then a denial that is only told, then an
       allowance. At a tie the one with more bits; at another `own`, which says more of the peer.
    3. neither found: what the node itself sends to its endpoints passes, as Kubernetes expects of
       health checks.
    4. everything else: denied. The entry of identity NO_RULE, if there is one, says by whom, and
       whether that is only told.

Each step is one look-up in a trie keyed endpoint, direction, identity, protocol, port. That a trie
shows only the longest match is made good by policy.porttable: it leaves no entry below a more
severe one. policy.evaluate does the same for many packets at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from policy.entries import ANY_IDENTITY, HOST_IDENTITY, NO_RULE, Direction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.entries import PolicyEntry

PROTOCOL_BITS = 8


class MatchType(IntEnum):
    """How specific the deciding entry is; numbers of the verdict event."""

    NONE = 0
    L3_ONLY = 1
    L3_L4 = 2
    L4_ONLY = 3
    ALL = 4
    L3_PROTO = 5
    PROTO_ONLY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the look-up decided."""

    allowed: bool
    """Also where the denial is only told."""
    match_type: MatchType
    cookie: int
    """Of the entry that decided; 0 where none did."""
    is_audited: bool = False
    """It passes for now, and would be denied."""


ALLOWED_FROM_HOST = Verdict(allowed=True, match_type=MatchType.L3_ONLY, cookie=0)
DENIED_BY_NOBODY = Verdict(allowed=False, match_type=MatchType.NONE, cookie=0)


def judge(
    entries: Iterable[PolicyEntry], *, direction: Direction, identity: int, protocol: int, port: int
) -> Verdict:
    """Decide on a packet in a direction that the endpoint's policies govern.

    Args:
        entries: The endpoint's entries as policy.compiler made them.
        direction: Seen from the endpoint.
        identity: The peer's.
        protocol: IP protocol number.
        port: Destination port, host order; ICMP: the type; 0 where the protocol has neither.
    """
    own = anyone = unmatched = None
    for entry in entries:
        if entry.direction != direction:
            continue
        if entry.identity == NO_RULE:
            unmatched = entry
        elif not entry.matches(identity=identity, protocol=protocol, port=port):
            continue
        elif entry.identity == ANY_IDENTITY:
            anyone = _longer(entry, anyone)
        else:
            own = _longer(entry, own)
    found = _deciding(own, anyone)
    if found is not None:
        return _verdict(found, match_type(found))
    if direction is Direction.INGRESS and identity == HOST_IDENTITY:
        return ALLOWED_FROM_HOST
    return DENIED_BY_NOBODY if unmatched is None else _verdict(unmatched, MatchType.NONE)


def _verdict(entry: PolicyEntry, match: MatchType) -> Verdict:
    is_allowed = not entry.deny or entry.audit
    return Verdict(
        allowed=is_allowed, match_type=match, cookie=entry.cookie, is_audited=entry.audit
    )


def match_type(entry: PolicyEntry) -> MatchType:
    """Say what a verdict event tells when this entry decided."""
    any_peer = entry.identity == ANY_IDENTITY
    if entry.prefix_bits == 0:
        return MatchType.ALL if any_peer else MatchType.L3_ONLY
    if entry.prefix_bits == PROTOCOL_BITS:
        return MatchType.PROTO_ONLY if any_peer else MatchType.L3_PROTO
    return MatchType.L4_ONLY if any_peer else MatchType.L3_L4


def _longer(entry: PolicyEntry, best: PolicyEntry | None) -> PolicyEntry:
    return entry if best is None or entry.prefix_bits > best.prefix_bits else best


def _deciding(own: PolicyEntry | None, anyone: PolicyEntry | None) -> PolicyEntry | None:
    if own is None or anyone is None:
        return own or anyone
    if own.severity != anyone.severity:
        return own if own.severity > anyone.severity else anyone
    return anyone if anyone.prefix_bits > own.prefix_bits else own
