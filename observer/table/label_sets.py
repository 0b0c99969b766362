"""Label sets: the sets of labels that endpoints have, interned in their turn.

A thousand endpoints have some hundred sets of labels, and who asks for labels needs to judge each
set only once. Which endpoint has which set is found out when somebody asks, and kept; a set is
freed with the last endpoint that has it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.entities import Endpoint
from observer.table.interns import InternTable

_FIRST_LENGTH: Final = 64


class LabelSets:
    """Sets of labels by number, and their numbers by endpoint."""

    def __init__(self, endpoints: InternTable[Endpoint]) -> None:
        self.sets: InternTable[tuple[str, ...]] = InternTable()
        self._endpoints = endpoints
        self._numbers = np.zeros(_FIRST_LENGTH, np.int32)
        self._version = -1
        endpoints.on_freed(self._forget)

    def by_endpoint(self) -> NDArray[np.int32]:
        """Return refs of `sets` by ref of endpoint: 0 for 0 and for those that are free."""
        if self._endpoints.version != self._version:
            self._follow()
            self._version = self._endpoints.version
        return self._numbers

    def _follow(self) -> None:
        """Number the sets of new endpoints."""
        if self._endpoints.size > len(self._numbers):
            grown = np.zeros(max(self._endpoints.size, 2 * len(self._numbers)), np.int32)
            grown[: len(self._numbers)] = self._numbers
            self._numbers = grown
        refs = np.fromiter((ref for ref, _ in self._endpoints.items()), np.int32)
        for ref in refs[self._numbers.take(refs) == 0].tolist():
            number = self.sets.ref(self._endpoints[ref].labels)
            self.sets.pin(number)
            self._numbers[ref] = number

    def _forget(self, endpoint_refs: list[int]) -> None:
        """Let go of the sets of endpoints that are gone: their refs will be given to others."""
        for ref in endpoint_refs:
            if ref < len(self._numbers) and self._numbers[ref]:
                self.sets.unpin(int(self._numbers[ref]))
                self._numbers[ref] = 0
