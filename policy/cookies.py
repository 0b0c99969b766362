"""Cookies: numbers by which verdict events say which rules decided.

A cookie is drawn from the rules' names, so that it mostly outlives restarts and changes of other
rules, and stays as it is while anything uses it. Only this node reads it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policy.porttable import Origin

NO_COOKIE = 0
COOKIE_BYTES = 4


class Cookies:
    """Numbers of sets of rules, 1..2^32-1; the empty set has NO_COOKIE."""

    def __init__(self) -> None:
        self._numbers: dict[Origin, int] = {}
        self._origins: dict[int, Origin] = {}
        self._uses: Counter[Origin] = Counter()

    @property
    def rules(self) -> Mapping[int, Origin]:
        """Cookie → rules, of all in use."""
        return MappingProxyType(self._origins)

    def take(self, origins: Iterable[Origin]) -> None:
        """Use each of these once more."""
        for origin in origins:
            if origin and origin not in self._numbers:
                number = self._draw(origin)
                self._numbers[origin] = number
                self._origins[number] = origin
            self._uses[origin] += 1

    def release(self, origins: Iterable[Origin]) -> None:
        """Use each of these once less; what nobody uses is forgotten."""
        for origin in origins:
            self._uses[origin] -= 1
            if not self._uses[origin]:
                del self._uses[origin]
                self._origins.pop(self._numbers.pop(origin, NO_COOKIE), None)

    def number(self, origin: Origin) -> int:
        """Give the cookie of rules in use."""
        return self._numbers[origin] if origin else NO_COOKIE

    def _draw(self, origin: Origin) -> int:
        text = "\n".join("\t".join(map(str, (*rule.policy, *rule[1:]))) for rule in origin)
        digest = hashlib.sha256(text.encode()).digest()
        while True:
            number = int.from_bytes(digest[:COOKIE_BYTES], "big")
            if number != NO_COOKIE and number not in self._origins:
                return number
            digest = hashlib.sha256(digest).digest()
