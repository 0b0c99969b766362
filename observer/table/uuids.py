"""Row uuids: derived from the table's seed and the row's position, never stored.

The text has the shape of a random uuid (version 4, RFC 9562). Its first 60 free bits are a keyed
permutation of the position, so the row is found again from the text; the other 62 are a keyed
hash of those, so a foreign uuid is not taken for one of ours.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64

_MASK: Final = (1 << 60) - 1
_SHIFT: Final = 30  # half of the width: x ^= x >> 30 is its own inverse
_VERSION: Final = U64(0x4000)
_VARIANT: Final = U64(1 << 63)
_TEXT_BYTES: Final = 36
_DASHES: Final = (8, 13, 18, 23)

_HEX: Final = np.frombuffer(b"".join(b"%02x" % i for i in range(256)), np.uint16)


class RowUuids:
    """The uuids of one table."""

    def __init__(self, seed: int) -> None:
        digest = hashlib.blake2b(seed.to_bytes(16, "little", signed=False)).digest()
        keys = [int.from_bytes(digest[i : i + 8], "little") for i in range(0, 40, 8)]
        self._offset = keys[0] & _MASK
        self._factors = (keys[1] & _MASK | 1, keys[2] & _MASK | 1)
        self._inverses = tuple(pow(factor, -1, 1 << 60) for factor in self._factors)
        self._hash_keys = (U64(keys[3]), U64(keys[4] | 1))

    def text(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Write the uuids of positions below 2**60 as ASCII, uint8 of shape (n, 36)."""
        high, low = self._halves(positions)
        raw = np.empty((len(positions), 2), ">u8")
        raw[:, 0] = high
        raw[:, 1] = low
        digits = _HEX[raw.view(np.uint8)].view(np.uint8)
        text = np.empty((len(positions), _TEXT_BYTES), np.uint8)
        text[:, _DASHES] = ord("-")
        start = 0
        for at, stop in zip((0, 9, 14, 19, 24), (*_DASHES, _TEXT_BYTES), strict=True):
            text[:, at:stop] = digits[:, start : start + stop - at]
            start += stop - at
        return text

    def position(self, text: str) -> int | None:
        """Find which position a uuid could belong to; None if the table never gave it out."""
        digits = text.replace("-", "")
        try:
            high = int(digits[:16], 16)
        except ValueError:
            return None
        value = (high >> 16) << 12 | high & 0xFFF
        for inverse in reversed(self._inverses):
            value = value * inverse & _MASK
            value ^= value >> _SHIFT
        position = (value - self._offset) & _MASK
        found = self.text(np.array([position], np.int64)).tobytes().decode("ascii")
        return position if found == text else None

    def _halves(self, positions: NDArray[np.int64]) -> tuple[NDArray[U64], NDArray[U64]]:
        mixed = positions.astype(U64)
        mixed += U64(self._offset)
        mixed &= U64(_MASK)
        for factor in self._factors:
            mixed ^= mixed >> U64(_SHIFT)
            mixed *= U64(factor)
            mixed &= U64(_MASK)
        low = (mixed ^ self._hash_keys[0]) * self._hash_keys[1]
        low ^= low >> U64(29)
        low *= self._hash_keys[1]
        low ^= low >> U64(32)
        high = (mixed >> U64(12) << U64(16)) | _VERSION | (mixed & U64(0xFFF))
        return high, low >> U64(2) | _VARIANT
