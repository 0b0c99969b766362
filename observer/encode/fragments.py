"""Fragments: pieces of messages that are encoded once and joined into many.

`KeyFragments` finds them by a key of 128 bits, for values of which there are few or which come in
bursts; `RefFragments` by ref, for interned values. Both answer for whole columns: the fragment
and its length for each row.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.table.interns import InternTable

Objects = NDArray[Any]
"""bytes objects; NumPy has no narrower type for them."""
Lengths = NDArray[np.int64]
U64 = np.uint64
Keys = NDArray[np.uint64]
"""uint64 (n, 2)."""

T = TypeVar("T")

# Odd numbers without pattern, so that keys which differ in few bits fall far apart.
_MIX: Final = (U64(0x9E3779B97F4A7C15), U64(0xC2B2AE3D27D4EB4F), U64(0x165667B19E3779F9))
_UNKNOWN: Final = -1


class KeyFragments:
    """A cache with two places for a key: its slot, and a spare one for what was driven out of it.

    So it never grows, look-up is a handful of array operations, and keys which want the same slot
    do not drive each other out for good.
    """

    def __init__(self, *, slot_bits: int, build: Callable[[list[bytes]], list[bytes]]) -> None:
        """Make an empty cache of 2**slot_bits slots, and a quarter as many spare ones.

        Args:
            slot_bits: 2..24.
            build: makes the fragments of keys, 16 bytes each: two words in native order.
        """
        self._build = build
        self._shift = U64(64 - slot_bits)
        self._spare_shift = U64(64 - 2 * slot_bits)
        zeros = build([bytes(16)])[0]
        self._first = _Slots(1 << slot_bits, zeros)
        self._spare = _Slots(1 << slot_bits - 2, zeros)

    def take(self, keys: Keys) -> tuple[Objects, Lengths]:
        """Return fragment and length for each row's key, uint64 (n, 2)."""
        mixed = _mix(keys)
        slots = (mixed >> self._shift).view(np.int64)
        fragments, lengths, missed = self._first.take(slots, keys)
        if len(missed):
            keys = keys.take(missed, 0)
            spare_slots = self._spare_slots(mixed.take(missed))
            spared, spared_lengths, absent = self._spare.take(spare_slots, keys)
            if len(absent):
                built = self._fill(slots.take(missed.take(absent)), keys.take(absent, 0))
                spared[absent], spared_lengths[absent] = built
            fragments[missed], lengths[missed] = spared, spared_lengths
        return fragments, lengths

    def _spare_slots(self, mixed: NDArray[U64]) -> NDArray[np.int64]:
        """Take other bits than for the slot; the lowest ones differ least."""
        bits = (mixed >> self._spare_shift) & U64(self._spare.count - 1)
        return bits.view(np.int64)

    def _fill(self, slots: NDArray[np.int64], keys: Keys) -> tuple[Objects, Lengths]:
        """Build what is missing; where two keys want one slot, the last one keeps it."""
        built = self._build(keys.view("V16")[:, 0].tolist())
        fragments = np.empty(len(built), object)
        fragments[:] = built
        lengths = np.fromiter(map(len, built), np.int64, len(built))
        driven_out = self._first.used(slots)
        if len(driven_out[0]):
            self._spare.put(self._spare_slots(_mix(driven_out[0])), *driven_out)
        self._first.put(slots, keys, fragments, lengths)
        return fragments, lengths


class _Slots:
    """Keys and what is cached for them."""

    def __init__(self, count: int, zeros: bytes) -> None:
        """Make empty slots; `zeros` is the fragment of key (0, 0)."""
        self.count = count
        # Key and length of the fragment side by side: one access to memory gives all three.
        self._entries = np.zeros((count, 3), U64)
        self._fragments = np.full(count, b"", object)
        # Key (0, 0) belongs into slot 0: every other slot's zeros can match nothing.
        self._fragments[0] = zeros
        self._entries[0, 2] = len(zeros)

    def take(
        self, slots: NDArray[np.int64], keys: Keys
    ) -> tuple[Objects, Lengths, NDArray[np.intp]]:
        """Return what the slots hold, and the indices of those that hold another key."""
        entries = self._entries.take(slots, 0)
        other = (entries[:, :2] != keys).view(np.uint16)[:, 0].nonzero()[0]
        return self._fragments.take(slots), entries[:, 2].view(np.int64), other

    def used(self, slots: NDArray[np.int64]) -> tuple[Keys, Objects, Lengths]:
        """Return keys, fragments and lengths of those slots that are not empty."""
        slots = slots[self._entries[slots, 2] > 0]
        entries = self._entries.take(slots, 0)
        return entries[:, :2], self._fragments.take(slots), entries[:, 2].view(np.int64)

    def put(
        self, slots: NDArray[np.int64], keys: Keys, fragments: Objects, lengths: Lengths
    ) -> None:
        """Write slots; where one is named twice, the last value stays, in key and fragment."""
        self._entries[slots, :2] = keys
        self._entries[slots, 2] = lengths
        self._fragments[slots] = fragments


def _mix(keys: Keys) -> NDArray[U64]:
    """Return one word of a key, whose upper bits depend on all of it; 0 for key (0, 0)."""
    mixed = keys[:, 0] * _MIX[0]
    mixed += keys[:, 1] * _MIX[1]
    mixed ^= mixed >> U64(32)
    mixed *= _MIX[2]
    return mixed


class RefFragments(Generic[T]):
    """Fragments of interned values by ref; those of freed refs are dropped."""

    def __init__(self, interns: InternTable[T], build: Callable[[T | None], bytes]) -> None:
        """Take a function from value to fragment; None stands for ref 0, no value."""
        self._interns = interns
        self._build = build
        self._none = build(None)
        # Not np.full: on its way it would cut zeros off the end of the bytes.
        self._fragments = np.empty(1, object)
        self._fragments[0] = self._none
        self._lengths: Lengths = np.full(1, len(self._none), np.int64)

    @property
    def always(self) -> bool:
        """Whether also rows without a value have a fragment."""
        return bool(self._none)

    def take(self, refs: NDArray[np.int32]) -> tuple[Objects, Lengths]:
        """Return fragment and length for each row's ref, int32 (n,)."""
        if self._interns.size > len(self._lengths):
            self._grow()
        lengths = self._lengths.take(refs)
        missing = lengths == _UNKNOWN
        if missing.any():
            for ref in set(refs[missing].tolist()):
                fragment = self._build(self._interns[ref])
                self._fragments[ref] = fragment
                self._lengths[ref] = len(fragment)
            lengths = self._lengths.take(refs)
        return self._fragments.take(refs), lengths

    def drop(self, refs: list[int]) -> None:
        """Forget fragments: the refs will be given to other values."""
        for ref in refs:
            if ref < len(self._lengths):
                self._fragments[ref] = b""
                self._lengths[ref] = _UNKNOWN

    def _grow(self) -> None:
        size = max(self._interns.size, 2 * len(self._lengths))
        fragments = np.full(size, b"", object)
        lengths = np.full(size, _UNKNOWN, np.int64)
        fragments[: len(self._fragments)] = self._fragments
        lengths[: len(self._lengths)] = self._lengths
        self._fragments, self._lengths = fragments, lengths
