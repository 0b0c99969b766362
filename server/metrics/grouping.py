"""Groups of equal rows: the numbers that make a family's labels, and how many rows have them.

A key is one or two words of 64 bits a row. Sorting beats a dictionary from a few dozen rows on, and
only the groups, of which there are few, are looked at one by one in Python.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Key = tuple[int, int]
"""The family's own word, and that of its contexts (0 without)."""


def groups(own: Words, contexts: Words | None) -> list[tuple[Key, int]]:
    """List the distinct keys of rows with their counts; both arrays uint64 (n,)."""
    if not len(own):
        return []
    if contexts is None:
        ordered = np.sort(own)
        starts = _starts(ordered[1:] != ordered[:-1])
        keys = [(word, 0) for word in ordered[starts].tolist()]
    else:
        order = np.lexsort((own, contexts))
        ordered, beside = own[order], contexts[order]
        starts = _starts((ordered[1:] != ordered[:-1]) | (beside[1:] != beside[:-1]))
        keys = list(zip(ordered[starts].tolist(), beside[starts].tolist(), strict=True))
    return list(zip(keys, np.diff(starts, append=len(own)).tolist(), strict=True))


def _starts(changes: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.concatenate([np.zeros(1, np.intp), np.flatnonzero(changes) + 1])
