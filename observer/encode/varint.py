"""Varints of fixed width, written for many rows at once.

A varint may be longer than needed: its last bytes then hold zeros with the continuation bit set
on all but the last. Every protobuf decoder accepts that, and it makes all rows equally long.
"""

import numpy as np
from numpy.typing import NDArray

UINT32_BYTES = 5
UINT64_BYTES = 10


def write_varints(target: NDArray[np.uint8], values: NDArray[np.unsignedinteger]) -> None:
    """Fill uint8 (n, width) with the varints of n values, which must fit into 7 * width bits."""
    continued = values.dtype.type(0x80)
    for index in range(target.shape[1]):
        # Only the low byte of each is kept, and its top bit is the continuation.
        septets = values >> values.dtype.type(7 * index)
        np.bitwise_or(septets, continued, out=target[:, index], casting="unsafe")
    target[:, -1] &= 0x7F


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
