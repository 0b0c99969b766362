"""The slots of a hash index: cuckoo hashing over columns, at one size and with one set of factors.

A key stands in one of two slots, so a look-up of any number of keys is at most two rounds of
gathers, whatever the load. A key that comes pushes another to its second slot where both are taken;
who finds no slot in the end is handed back, and observer.hash_index makes more room.
"""

import random
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64
Key = tuple[int, int]

_ALL_BITS: Final = (1 << 64) - 1
_MAX_KICKS: Final = 64


class HashSlots:
    """2**bits slots; a value of 0 is a free one."""

    def __init__(self, *, bits: int, random: random.Random) -> None:
        self.count = 1 << bits
        self._factors = tuple(U64(random.getrandbits(64) | 1) for _ in range(3))
        self._shift = U64(64 - bits)
        self._high = np.zeros(self.count, U64)
        self._low = np.zeros(self.count, U64)
        self._values = np.zeros(self.count, np.int32)

    def find(self, high: NDArray[U64], low: NDArray[U64]) -> NDArray[np.int32]:
        """Look up n keys given as two uint64 columns; int32 of shape (n,), 0 where absent."""
        mixed = self._mixed(high, low)
        found = self._probe(mixed >> self._shift, high, low)
        # Those not found in their first slot may stand in the second.
        rest = (found == 0).nonzero()[0]
        if rest.size:
            slots = self._folded(mixed[rest]) >> self._shift
            found[rest] = self._probe(slots, high[rest], low[rest])
        return found

    def change(self, key: Key, value: int) -> bool:
        """Change the value of a key, 0 to remove it; False if it is not here."""
        for slot in self._slots_of(key):
            if self._values[slot] and self._key_at(slot) == key:
                self._values[slot] = value
                if not value:
                    self._high[slot] = self._low[slot] = 0
                return True
        return False

    def put(self, key: Key, value: int) -> tuple[Key, int] | None:
        """Add a key that is not here; return who has no slot in the end, None if all have."""
        slot = self._slots_of(key)[0]
        for _ in range(_MAX_KICKS):
            evicted, evicted_value = self._key_at(slot), int(self._values[slot])
            self._high[slot], self._low[slot] = key
            self._values[slot] = value
            if not evicted_value:
                return None
            key, value = evicted, evicted_value
            first, second = self._slots_of(key)
            slot = second if slot == first else first
        return key, value

    def part(self, start: int, stop: int) -> tuple[NDArray[U64], NDArray[U64], NDArray[np.int32]]:
        """Copy the keys, two uint64 columns, and values, int32, of a range of slots."""
        used = np.flatnonzero(self._values[start:stop]) + start
        return self._high[used], self._low[used], self._values[used]

    def clear(self, start: int, stop: int) -> None:
        """Free a range of slots."""
        for column in (self._high, self._low, self._values):
            column[start:stop] = 0

    def take_all(
        self, high: NDArray[U64], low: NDArray[U64], values: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Add n keys that are not here, where one of their slots is free.

        Returns:
            int64: rows of the keys for which none was; `put` makes room for them.
        """
        mixed = self._mixed(high, low)
        rows = np.arange(len(high))
        for slots in (mixed >> self._shift, self._folded(mixed) >> self._shift):
            wanted = slots.view(np.int64)[rows]
            free = self._values[wanted] == 0
            # of several that want the same one the last to write has it
            self._values[wanted[free]] = -1 - rows[free]
            won = self._values[wanted] == -1 - rows
            taken, winners = wanted[won], rows[won]
            self._high[taken], self._low[taken] = high[winners], low[winners]
            self._values[taken] = values[winners]
            rows = rows[~won]
        return rows

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

    def _slots_of(self, key: Key) -> Key:
        """Say where a key may stand: the same arithmetic as `find`, on one key."""
        first, second, third = (int(factor) for factor in self._factors)
        shift = int(self._shift)
        mixed = (((key[0] * first) & _ALL_BITS ^ key[1]) * second) & _ALL_BITS
        folded = ((mixed ^ mixed >> 32) * third) & _ALL_BITS
        return mixed >> shift, folded >> shift

    def _key_at(self, slot: int) -> Key:
        return int(self._high[slot]), int(self._low[slot])
