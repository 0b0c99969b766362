"""All identities at once: which of them a selector means, as one number with a bit for each.

In: subjects by identity, as they come and go. Out: masks, of which Python's whole numbers make
set operations of a few words. A bit is never given to another identity while the index lives, so
that a mask kept by others means the same tomorrow. Next: policy.compiler.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, assert_never

import numpy as np

from policy.selectors import (
    LabelSelector,
    NetworkSelector,
    Operator,
    Requirement,
    keys_meant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policy.selectors import Peer
    from policy.subjects import Subject


class IdentityIndex:
    """Finds identities by selectors."""

    def __init__(self) -> None:
        self.identities: list[int] = []
        """Bit → identity, also of those that are gone."""
        self.subjects: dict[int, Subject] = {}
        """Identity → subject, of those that are there."""
        self._bits: dict[int, int] = {}
        self._all = 0
        self._with_value: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._with_key: dict[str, int] = defaultdict(int)
        self._networks: dict[int, Subject] = {}
        self._known: dict[Requirement | NetworkSelector, int] = {}

    def put(self, identity: int, subject: Subject) -> bool:
        """Add an identity, or let it be another subject; False if it is that already."""
        known = self.subjects.get(identity)
        if known is not None:
            if known == subject:
                return False
            self.drop(identity)
        bit = 1 << len(self.identities)
        self.identities.append(identity)
        self.subjects[identity] = subject
        self._bits[identity] = bit
        self._all |= bit
        for key, value in subject.labels.items():
            self._with_value[key][value] |= bit
            self._with_key[key] |= bit
        if subject.network is not None:
            self._networks[bit] = subject
        self._known.clear()
        return True

    def drop(self, identity: int) -> None:
        """Forget an identity."""
        subject, bit = self.subjects.pop(identity), self._bits.pop(identity)
        self._all ^= bit
        for key, value in subject.labels.items():
            self._with_value[key][value] ^= bit
            self._with_key[key] ^= bit
        self._networks.pop(bit, None)
        self._known.clear()

    def bit(self, identity: int) -> int:
        """Give the identity's own mask."""
        return self._bits[identity]

    def select(self, selector: Peer) -> int:
        """Find the identities that one selector means."""
        match selector:
            case NetworkSelector():
                return self._remember(selector)
            case LabelSelector():
                mask = self._all
                for requirement in selector.requirements:
                    mask &= self._remember(requirement)
                return mask
        assert_never(selector)

    def select_any(self, selectors: Iterable[Peer]) -> int:
        """Find the identities that at least one of the selectors means."""
        mask = 0
        for selector in selectors:
            mask |= self.select(selector)
        return mask

    def members(self, mask: int) -> list[int]:
        """Give the numbers of the mask's bits, ascending; `identities` says whose they are."""
        data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        found: list[int] = bits.nonzero()[0].tolist()
        return found

    def _remember(self, condition: Requirement | NetworkSelector) -> int:
        mask = self._known.get(condition)
        if mask is None:
            if isinstance(condition, Requirement):
                mask = self._meeting(condition)
            else:
                mask = self._within(condition)
            self._known[condition] = mask
        return mask

    def _within(self, selector: NetworkSelector) -> int:
        return sum(bit for bit, subject in self._networks.items() if selector.selects(subject))

    def _meeting(self, requirement: Requirement) -> int:
        keys = keys_meant(requirement.key)
        match requirement.operator:
            case Operator.IN:
                return self._valued(keys, requirement)
            case Operator.NOT_IN:
                return self._all & ~self._valued(keys, requirement)
            case Operator.EXISTS:
                return self._keyed(keys)
            case Operator.DOES_NOT_EXIST:
                return self._all & ~self._keyed(keys)
        assert_never(requirement.operator)

    def _valued(self, keys: tuple[str, ...], requirement: Requirement) -> int:
        mask = 0
        for key in keys:
            by_value = self._with_value.get(key)
            for value in requirement.values if by_value else ():
                mask |= self._with_value[key].get(value, 0)
        return mask

    def _keyed(self, keys: tuple[str, ...]) -> int:
        mask = 0
        for key in keys:
            mask |= self._with_key.get(key, 0)
        return mask
