"""A hash index that is asked whole columns at a time: 128-bit keys → small numbers.

Keys are compared in full, so there are no false hits. Changes are made one by one, in a few
microseconds, and growing holds nobody up: the slots that are too few stand beside the new ones, and
each change moves a part of them, about 0.1 ms; until all have moved, look-ups ask both.
"""

import random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.hash_slots import HashSlots, Key

U64 = np.uint64

_FIRST_BITS: Final = 6
_PART: Final = 512
"""Slots that one change moves; small indexes grow in one go."""


class HashIndex:
    """Keys are pairs of 64-bit words, values are numbers from 1 to 2**31 - 1."""

    def __init__(self, *, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- spreads keys, guards nothing
        self._values_by_key: dict[Key, int] = {}
        self._bits = _FIRST_BITS
        self._slots = HashSlots(bits=_FIRST_BITS, random=self._random)
        self._elder: HashSlots | None = None
        """Where keys stand that have not moved yet."""
        self._moved = 0
        """Slots of the elder that are done."""

    def __len__(self) -> int:
        return len(self._values_by_key)

    def get(self, key: Key) -> int:
        """Look one key up; 0 if it is absent."""
        return self._values_by_key.get(key, 0)

    def set(self, key: Key, value: int) -> None:
        """Add a key or change its value."""
        known = key in self._values_by_key
        self._values_by_key[key] = value
        if known:
            self._change(key, value)
            return
        if self._elder is None and 5 * len(self._values_by_key) > 2 * self._slots.count:
            self._grow()
        if self._slots.put(key, value) is not None:
            self._rebuild()
        self._move()

    def remove(self, key: Key) -> None:
        """Remove a key; it is no error if it is absent."""
        if self._values_by_key.pop(key, 0):
            self._change(key, 0)

    def find(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[np.int32]:
        """Look up n keys given as two uint64 columns; int32 of shape (n,), 0 where absent."""
        if not self._values_by_key:
            return np.zeros(len(high), np.int32)
        found = self._slots.find(high, low)
        if self._elder is not None:
            # A key that has moved is not in the elder any more: at most one of both is not 0.
            found += self._elder.find(high, low)
        return found

    def _change(self, key: Key, value: int) -> None:
        if not self._slots.change(key, value) and self._elder is not None:
            self._elder.change(key, value)

    def _grow(self) -> None:
        """Make room; keys follow by and by."""
        self._elder, self._moved = self._slots, 0
        self._bits += 1
        self._slots = HashSlots(bits=self._bits, random=self._random)

    def _move(self) -> None:
        """Move the next part of what has not moved yet."""
        elder = self._elder
        if elder is None:
            return
        stop = self._moved + _PART
        high, low, values = elder.part(self._moved, stop)
        elder.clear(self._moved, stop)
        self._moved = stop
        if stop >= elder.count:
            self._elder = None
        for row in self._slots.take_all(high, low, values):
            if self._slots.put((int(high[row]), int(low[row])), int(values[row])) is not None:
                self._rebuild()
                return

    def _rebuild(self) -> None:
        """Spread all keys anew by other factors: rare, since the slots are 2/5 full at most."""
        keys = np.array(list(self._values_by_key), U64).reshape(-1, 2)
        high, low = keys[:, 0].copy(), keys[:, 1].copy()
        values = np.fromiter(self._values_by_key.values(), np.int32, len(keys))
        self._elder = None
        while True:
            self._slots = HashSlots(bits=self._bits, random=self._random)
            rest = self._slots.take_all(high, low, values)
            keyed = (((int(high[row]), int(low[row])), int(values[row])) for row in rest)
            if all(self._slots.put(key, value) is None for key, value in keyed):
                return
            self._bits += self._random.random() < 0.5  # other factors mostly are enough
