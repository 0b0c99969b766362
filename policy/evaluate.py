"""Many packets at once: the decisions of policy.lookup as array operations.

In: the policies of endpoints as policy.compiler made them, and columns of packets, as flow rows
have them. Out: columns of verdicts, match types and cookies. What the datapath does for one packet
with two look-ups in a trie is here one binary search for each length of prefix that occurs, longest
first: 65,535 packets take some tens of milliseconds. Serves to replay and preview verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from policy.entries import ANY_IDENTITY, HOST_IDENTITY, NO_RULE, PORT_BITS, Direction
from policy.lookup import MatchType, match_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from policy.compiler import EndpointPolicy
    from policy.entries import PolicyEntry

_NONE = -1
"""No entry."""
_BITS_PROTOCOL = 8


class Decision(IntEnum):
    """What happens to a packet."""

    FREE = 0
    """Nothing is enforced there: it passes, and no verdict is told."""
    ALLOWED = 1
    DENIED = 2
    AUDITED = 3
    """Denied, but only told: it passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """Columns of n packets."""

    endpoint: NDArray[np.int64]
    """(n,) Index of the endpoint's policy in what the evaluator was given."""
    direction: NDArray[np.uint8]
    """(n,) Seen from the endpoint: policy.entries.Direction."""
    identity: NDArray[np.uint32]
    """(n,) Of the peer."""
    protocol: NDArray[np.uint8]
    """(n,) IP protocol number."""
    port: NDArray[np.uint16]
    """(n,) Destination port, host order; of ICMP the type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Columns of n verdicts."""

    decision: NDArray[np.uint8]
    """(n,) Decision."""
    match_type: NDArray[np.uint8]
    """(n,) policy.lookup.MatchType of the entry that decided."""
    cookie: NDArray[np.uint32]
    """(n,) Of the entry that decided; 0 where none did."""


class Evaluator:
    """Judges packets by a fixed set of policies."""

    def __init__(self, policies: Sequence[EndpointPolicy]) -> None:
        """Take the policies of endpoints; packets refer to them by index."""
        entries = [(i, entry) for i, policy in enumerate(policies) for entry in policy.entries]
        self._enforced = np.zeros((len(policies), len(Direction) + 1), np.bool_)
        for index, policy in enumerate(policies):
            self._enforced[index, list(policy.enforced)] = True
        self._identities = np.unique(np.array([e.identity for _, e in entries], np.uint32))
        self._cookies = np.array([e.cookie for _, e in entries], np.uint32)
        self._severities = np.array([e.severity for _, e in entries], np.int8)
        self._lengths = np.array([e.prefix_bits for _, e in entries], np.int8)
        self._matches = np.array([match_type(e) for _, e in entries], np.uint8)
        self._steps = tuple(self._sorted_by_length(entries))

    def judge(self, packets: Packets) -> Verdicts:
        """Decide on n packets."""
        own = self._find(packets, packets.identity)
        own[packets.identity == ANY_IDENTITY] = _NONE
        anyone = self._find(packets, np.full_like(packets.identity, ANY_IDENTITY))
        decides = self._deciding(own, anyone)
        is_matched = decides != _NONE
        passes = packets.identity == HOST_IDENTITY
        passes &= (packets.direction == Direction.INGRESS) & ~is_matched
        unmatched = self._find(packets, np.full_like(packets.identity, NO_RULE))
        decides = np.where(is_matched, decides, np.where(passes, _NONE, unmatched))
        return self._verdicts(packets, decides, is_matched, passes)

    def _verdicts(
        self,
        packets: Packets,
        decides: NDArray[np.int64],
        is_matched: NDArray[np.bool_],
        passes: NDArray[np.bool_],
    ) -> Verdicts:
        by_severity = np.array([Decision.ALLOWED, Decision.AUDITED, Decision.DENIED], np.uint8)
        decision = np.where(passes, Decision.ALLOWED, Decision.DENIED).astype(np.uint8)
        match = np.where(passes, MatchType.L3_ONLY, MatchType.NONE).astype(np.uint8)
        cookie = np.zeros(len(decides), np.uint32)
        told = (decides != _NONE).nonzero()[0]
        decision[told] = by_severity[self._severities[decides[told]]]
        cookie[told] = self._cookies[decides[told]]
        by_entry = is_matched.nonzero()[0]
        match[by_entry] = self._matches[decides[by_entry]]
        free = ~self._enforced[packets.endpoint, packets.direction]
        decision[free], match[free], cookie[free] = Decision.FREE, MatchType.NONE, 0
        return Verdicts(decision=decision, match_type=match, cookie=cookie)

    def _sorted_by_length(
        self, entries: Sequence[tuple[int, PolicyEntry]]
    ) -> Iterable[tuple[int, NDArray[np.uint64], NDArray[np.int64]]]:
        """Yield for each length of prefix, longest first, the keys, sorted, and whose they are."""
        numbers = np.arange(len(entries))
        keys = _keys(
            np.array([i for i, _ in entries], np.int64),
            np.array([e.direction for _, e in entries], np.uint8),
            np.searchsorted(
                self._identities, np.array([e.identity for _, e in entries], np.uint32)
            ),
            np.array([e.protocol for _, e in entries], np.uint8),
            np.array([e.port for _, e in entries], np.uint16),
        )
        for length in sorted(set(self._lengths.tolist()), reverse=True):
            which = numbers[self._lengths == length]
            which = which[np.argsort(keys[which])]
            yield length, keys[which], which

    def _find(self, packets: Packets, identity: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Find the entry of this very identity with the longest prefix, _NONE without one."""
        found = np.full(len(identity), _NONE, np.int64)
        if not len(self._identities):
            return found
        at = np.searchsorted(self._identities, identity).clip(max=len(self._identities) - 1)
        waiting = (self._identities[at] == identity).nonzero()[0]
        for length, keys, whose in self._steps:
            wanted = _keys(
                packets.endpoint[waiting],
                packets.direction[waiting],
                at[waiting],
                packets.protocol[waiting] if length else np.zeros(len(waiting), np.uint8),
                packets.port[waiting] & _port_mask(length),
            )
            place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
            is_found = keys[place] == wanted
            found[waiting[is_found]] = whose[place[is_found]]
            waiting = waiting[~is_found]
        return found

    def _deciding(self, own: NDArray[np.int64], anyone: NDArray[np.int64]) -> NDArray[np.int64]:
        decides = np.where(own == _NONE, anyone, own)
        both = ((own != _NONE) & (anyone != _NONE)).nonzero()[0]
        mine, theirs = own[both], anyone[both]
        more = self._severities[theirs].astype(np.int16) - self._severities[mine]
        is_longer = self._lengths[theirs] > self._lengths[mine]
        takes = (more > 0) | ((more == 0) & is_longer)
        decides[both[takes]] = theirs[takes]
        return decides


def _port_mask(length: int) -> np.uint16:
    """Give the bits of the port that count in a prefix of protocol and port."""
    bits = max(length - _BITS_PROTOCOL, 0)
    return np.uint16(0xFFFF << (PORT_BITS - bits) & 0xFFFF)


def _keys(
    endpoint: NDArray[np.int64],
    direction: NDArray[np.uint8],
    identity_index: NDArray[np.intp],
    protocol: NDArray[np.uint8],
    port: NDArray[np.uint16],
) -> NDArray[np.uint64]:
    """Pack n keys: 18 bits of endpoint, 2 of direction, 20 of identity, protocol and port."""
    key = endpoint.astype(np.uint64) << np.uint64(46)
    key |= direction.astype(np.uint64) << np.uint64(44)
    key |= identity_index.astype(np.uint64) << np.uint64(24)
    key |= protocol.astype(np.uint64) << np.uint64(16)
    return key | port.astype(np.uint64)
