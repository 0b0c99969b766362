"""A hash index that is asked whole columns at a time: 128-bit keys → small numbers.

Cuckoo hashing: a key stands in one of two slots, so a look-up of any number of keys is at most
two rounds of gathers, whatever the load. Keys are compared in full, so there are no false hits.
Changes are made one by one, in a few microseconds; growing is one pass over columns, too: about
0.1 µs a key.
"""

import random
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64

_ALL_BITS: Final = (1 << 64) - 1
_FIRST_BITS: Final = 6
_MAX_KICKS: Final = 64
_MAX_ROUNDS: Final = 128


class HashIndex:
    """Keys are pairs of 64-bit words, values are numbers from 1 to 2**31 - 1."""

    def __init__(self, *, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- spreads keys, guards nothing
        self._values_by_key: dict[tuple[int, int], int] = {}
        self._reset(_FIRST_BITS)

    def __len__(self) -> int:
        return len(self._values_by_key)

    def get(self, key: tuple[int, int]) -> int:
        """Look one key up; 0 if it is absent."""
        return self._values_by_key.get(key, 0)

    def set(self, key: tuple[int, int], value: int) -> None:
        """Add a key or change its value."""
        known = key in self._values_by_key
        self._values_by_key[key] = value
        if known:
            self._values[self._slot_of(key)] = value
        elif 5 * len(self._values_by_key) > 2 * len(self._values):
            self._rebuild(key, value)
        else:
            self._place(key, value)

    def remove(self, key: tuple[int, int]) -> None:
        """Remove a key; it is no error if it is absent."""
        if key in self._values_by_key:
            slot = self._slot_of(key)
            self._high[slot] = self._low[slot] = self._values[slot] = 0
            del self._values_by_key[key]

    def find(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[np.int32]:
        """Look up n keys given as two uint64 columns; int32 of shape (n,), 0 where absent."""
        mixed = self._mixed(high, low)
        found = self._probe(mixed >> self._shift, high, low)
        # Those not found in their first slot may stand in the second.
        rest = (found == 0).nonzero()[0]
        if rest.size and self._values_by_key:
            slots = self._folded(mixed[rest]) >> self._shift
            found[rest] = self._probe(slots, high[rest], low[rest])
        return found

    def _probe(
        self, where: NDArray[U64], high: NDArray[U64], low: NDArray[U64]
    ) -> NDArray[np.int32]:
        slots = where.view(np.int64)
        found = self._values.take(slots)
        hit = self._low.take(slots) == low
        hit &= self._high.take(slots) == high
        found *= hit
        return found

    def _mixed(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[U64]:
        """Hash n keys; the upper bits are their first slots."""
        mixed = high * self._factors[0]
        mixed ^= low
        mixed *= self._factors[1]
        return mixed

    def _folded(self, mixed: NDArray[U64]) -> NDArray[U64]:
        """Hash what `_mixed` gave, in place; the upper bits are the second slots."""
        mixed ^= mixed >> U64(32)
        mixed *= self._factors[2]
        return mixed

    def _slots_of(self, key: tuple[int, int]) -> tuple[int, int]:
        """Say where a key may stand: the same arithmetic as `find`, on one key."""
        first, second, third = (int(factor) for factor in self._factors)
        shift = int(self._shift)
        mixed = (((key[0] * first) & _ALL_BITS ^ key[1]) * second) & _ALL_BITS
        folded = ((mixed ^ mixed >> 32) * third) & _ALL_BITS
        return mixed >> shift, folded >> shift

    def _slot_of(self, key: tuple[int, int]) -> int:
        first, second = self._slots_of(key)
        return first if self._key_at(first) == key and self._values[first] else second

    def _key_at(self, slot: int) -> tuple[int, int]:
        return int(self._high[slot]), int(self._low[slot])

    def _place(self, key: tuple[int, int], value: int) -> None:
        """Put a new key in a free slot, pushing others to their second one if need be."""
        slot = self._slots_of(key)[0]
        for _ in range(_MAX_KICKS):
            evicted, evicted_value = self._key_at(slot), int(self._values[slot])
            self._high[slot], self._low[slot] = key
            self._values[slot] = value
            if not evicted_value:
                return
            key, value = evicted, evicted_value
            first, second = self._slots_of(key)
            slot = second if slot == first else first
        self._rebuild(key, value)

    def _rebuild(self, key: tuple[int, int], value: int) -> None:
        """Make room and spread all keys anew: those in the slots, and this one, which has none."""
        used = np.flatnonzero(self._values)
        high = np.append(self._high[used], U64(key[0]))
        low = np.append(self._low[used], U64(key[1]))
        values = np.append(self._values[used], np.int32(value))
        bits = max(_FIRST_BITS, (3 * len(values)).bit_length())
        while True:
            self._reset(bits)
            owners = self._spread(high, low)
            if owners is not None:
                break
            bits += self._random.random() < 0.5  # other factors mostly are enough
        taken = np.flatnonzero(owners)
        rows = owners[taken] - 1
        self._high[taken], self._low[taken], self._values[taken] = (
            high[rows],
            low[rows],
            values[rows],
        )

    def _spread(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[np.int32] | None:
        """Find slots for n keys given as two uint64 columns.

        All move at once: whoever is pushed out, or was not the last to claim a slot, tries its
        other one in the next round.

        Returns:
            int32 of one element a slot: row of its key + 1, or 0. None: these factors do not do.
        """
        mixed = self._mixed(high, low)
        first = (mixed >> self._shift).view(np.int64)
        second = (self._folded(mixed) >> self._shift).view(np.int64)
        owners = np.zeros(len(self._values), np.int32)
        targets = first.copy()
        moving = np.arange(len(high), dtype=np.int32)
        for _ in range(_MAX_ROUNDS):
            claimed = targets[moving]
            pushed = np.unique(owners[claimed])
            owners[claimed] = moving + 1
            late = moving[owners[claimed] != moving + 1]
            moving = np.concatenate([late, pushed[pushed > 0] - 1])
            if not moving.size:
                return owners
            in_first = targets[moving] == first[moving]
            targets[moving] = np.where(in_first, second[moving], first[moving])
        return None

    def _reset(self, bits: int) -> None:
        self._factors = tuple(U64(self._random.getrandbits(64) | 1) for _ in range(3))
        self._shift = U64(64 - bits)
        self._high = np.zeros(1 << bits, U64)
        self._low = np.zeros(1 << bits, U64)
        self._values = np.zeros(1 << bits, np.int32)
