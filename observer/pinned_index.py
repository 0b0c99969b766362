"""Values that somebody set by key, interned and held, to be looked up whole columns at a time."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.hash_index import HashIndex
from observer.table.interns import InternTable

T = TypeVar("T", bound=Hashable)

U64 = np.uint64


class PinnedIndex(Generic[T]):
    """Key (two 64-bit words) → ref of an interned value, pinned for as long as it is set."""

    def __init__(self, interns: InternTable[T]) -> None:
        self._interns = interns
        self._index = HashIndex()

    def __contains__(self, key: tuple[int, int]) -> bool:
        return self._index.get(key) != 0

    def set(self, key: tuple[int, int], value: T) -> None:
        """Set or replace the value of a key."""
        ref = self._interns.ref(value)
        self._interns.pin(ref)  # before the old one is let go: it may be the same
        self.remove(key)
        self._index.set(key, ref)

    def remove(self, key: tuple[int, int]) -> None:
        """Forget a key; it is no error if it was not set."""
        ref = self._index.get(key)
        if ref:
            self._index.remove(key)
            self._interns.unpin(ref)

    def get(self, key: tuple[int, int]) -> int:
        """Look one key up; 0 if it is not set."""
        return self._index.get(key)

    def find(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[np.int32]:
        """Look up n keys given as two uint64 columns; int32 of shape (n,), 0 where not set."""
        return self._index.find(high, low)
