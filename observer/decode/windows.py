"""Gather a part of each sample, so that all parts stand side by side."""

import numpy as np
from numpy.typing import NDArray

from observer.table.rows import Column


def windows(samples: NDArray[np.uint8], at: NDArray[np.int64], size: int, lead: int = 0) -> Column:
    """Gather `size` bytes from each sample, from `lead` bytes before 64-bit word `at` on.

    Args:
        samples: uint8, shape (n, SAMPLE_BYTES), C-contiguous.
        at: int64, shape (m,): index of a 64-bit word in all samples.
        size: how many bytes, a multiple of 8.
        lead: how many bytes before the word, less than 8.

    Returns:
        uint8, shape (m, size), C-contiguous. Places beyond the samples are moved inside: only
        call with those whose bytes are then overwritten.
    """
    first = 8 - lead if lead else 0
    count = (samples.size - first - size) // 8 + 1
    overlapping: Column = np.ndarray(
        (count,), np.dtype(f"V{size}"), buffer=samples.reshape(-1), offset=first, strides=(8,)
    )
    index = at - 1 if lead else at
    gathered: Column = overlapping[index.clip(0, count - 1)]
    return gathered.view(np.uint8).reshape(-1, size)
