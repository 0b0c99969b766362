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
Lengths = NDArray[np.int32]
U64 = np.uint64

T = TypeVar("T")

# Odd numbers without pattern, so that keys which differ in few bits fall far apart.
_MIX: Final = (U64(0x9E3779B97F4A7C15), U64(0xC2B2AE3D27D4EB4F), U64(0x165667B19E3779F9))
_UNKNOWN: Final = -1


class KeyFragments:
    """A direct-mapped cache: each key has one slot, and the last one asked for keeps it.

    So it never grows, and look-up is a handful of array operations.
    """

    def __init__(self, *, slot_bits: int, build: Callable[[list[bytes]], list[bytes]]) -> None:
        """Make an empty cache of 2**slot_bits slots.

        Args:
            slot_bits: 1..32.
            build: makes the fragments of keys, 16 bytes each: two words in native order.
        """
        self._build = build
        self._shift = U64(64 - slot_bits)
        self._keys = np.zeros((2, 1 << slot_bits), U64)
        self._fragments = np.full(1 << slot_bits, b"", object)
        self._lengths: Lengths = np.zeros(1 << slot_bits, np.int32)
        # Key (0, 0) belongs into slot 0: every other slot's zeros can match nothing.
        self._fragments[0] = build([bytes(16)])[0]
        self._lengths[0] = len(self._fragments[0])

    def take(self, word0: NDArray[U64], word1: NDArray[U64]) -> tuple[Objects, Lengths]:
        """Return fragment and length for each row's key."""
        mixed = word0 * _MIX[0]
        mixed ^= mixed >> U64(29)
        mixed += word1 * _MIX[1]
        mixed ^= mixed >> U64(32)
        mixed *= _MIX[2]
        slots = (mixed >> self._shift).view(np.int64)
        hits = self._keys[0].take(slots) == word0
        hits &= self._keys[1].take(slots) == word1
        fragments, lengths = self._fragments.take(slots), self._lengths.take(slots)
        if not hits.all():
            missed = np.flatnonzero(~hits)
            keys = np.stack((word0[missed], word1[missed]), axis=1)
            fragments[missed], lengths[missed] = self._fill(slots[missed], keys)
        return fragments, lengths

    def _fill(self, slots: NDArray[np.int64], keys: NDArray[U64]) -> tuple[Objects, Lengths]:
        """Build what is missing; where two keys want one slot, the last one keeps it."""
        built = self._build(keys.view("V16")[:, 0].tolist())
        fragments = np.empty(len(built), object)
        fragments[:] = built
        lengths = np.fromiter(map(len, built), np.int32, len(built))
        self._keys[:, slots] = keys.T
        self._fragments[slots] = fragments
        self._lengths[slots] = lengths
        return fragments, lengths


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
        self._lengths: Lengths = np.full(1, len(self._none), np.int32)

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
        lengths = np.full(size, _UNKNOWN, np.int32)
        fragments[: len(self._fragments)] = self._fragments
        lengths[: len(self._lengths)] = self._lengths
        self._fragments, self._lengths = fragments, lengths
