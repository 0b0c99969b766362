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
_DASH: Final = ord("-")
_QUAD: Final = "V4"
"""Four digits: NumPy copies few wide elements faster than many narrow ones."""
_GROUPS: Final = ((0, 0, 2), (9, 2, 3), (14, 3, 4), (19, 4, 5), (24, 5, 8))
"""Of a uuid's text: where each begins, and which quads of the digits it holds."""

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
        digits = _HEX.take(raw.view(np.uint8)).view(_QUAD)
        text = np.full((len(positions), _TEXT_BYTES), _DASH, np.uint8)
        for at, start, stop in _GROUPS:
            text[:, at : at + 4 * (stop - start)].view(_QUAD)[:] = digits[:, start:stop]
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
