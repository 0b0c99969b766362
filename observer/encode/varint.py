"""Varints of fixed width, written for many rows at once.

A varint may be longer than needed: its last bytes then hold zeros with the continuation bit set
on all but the last. Every protobuf decoder accepts that, and it makes all rows equally long.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

UINT32_BYTES = 5
UINT64_BYTES = 10

# Of the values' own type.
Numbers = NDArray[Any]


def write_varints(target: NDArray[np.uint8], values: NDArray[np.unsignedinteger]) -> None:
    """Fill uint8 (n, width) with the varints of n values, which must fit into 7 * width bits."""
    shifts, continued = _septets(values.dtype, target.shape[1])
    # Only the low byte of each is kept, and its top bit is the continuation. Septet by septet, as
    # NumPy's loops are as long as the last axis.
    np.bitwise_or(values >> shifts, continued, out=target.T, casting="unsafe")


@lru_cache
def _septets(dtype: np.dtype[np.unsignedinteger], width: int) -> tuple[Numbers, Numbers]:
    """Return shift and continuation bit of each byte of a varint, (width, 1) each."""
    shifts = (7 * np.arange(width)).astype(dtype).reshape(width, 1)
    continued = np.full((width, 1), 0x80, dtype)
    continued[-1] = 0
    return shifts, continued


def varint(value: int) -> bytes:
    """Return the shortest varint of a value that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length_field(number: int, body: bytes) -> bytes:
    """Return a length-delimited field: tag, length, body."""
    return varint(number << 3 | 2) + varint(len(body)) + body
