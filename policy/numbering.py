"""Numbers for names, the same wherever the same names are.

Several nodes must give one label set the same identity without talking to each other, so a number
follows from the set of names alone, not from the order in which they came. Each name has an endless
row of candidates drawn from its own hash. Names propose their candidates in turn, and of two names
that want one number the one with the smaller hash keeps it (deferred acceptance, whose outcome does
not depend on the order of proposals).

The price: a new name may, when it collides (n names in m numbers: about n²/2m of them do), push an
older one to its next candidate, and whoever holds that number must follow.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

PART_LENGTH = 128
"""Proposals of one step: about 0.3 ms where no digest is known yet."""
DIGEST_BYTES = 32
CANDIDATE_BYTES = 4


@lru_cache(maxsize=1 << 16)
def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _candidates(name: str, first: int, count: int) -> Iterator[int]:
    """Yield the numbers a name wants, best first: four bytes each of its digest, then on."""
    digest = _digest(name)
    while True:
        for offset in range(0, DIGEST_BYTES, CANDIDATE_BYTES):
            yield first + int.from_bytes(digest[offset : offset + CANDIDATE_BYTES], "big") % count
        digest = hashlib.sha256(digest).digest()


def assign_numbers(names: Iterable[str], *, first: int, last: int) -> dict[str, int]:
    """Give a distinct number within first..last to each name.

    Raises:
        ValueError: As `numbering`.
    """
    steps = numbering(names, first=first, last=last)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            numbers: dict[str, int] = end.value
            return numbers


def numbering(
    names: Iterable[str], *, first: int, last: int
) -> Generator[None, None, dict[str, int]]:
    """Do the same step by step, for who has others to serve meanwhile; returns the numbers.

    Raises:
        ValueError: There are more names than three quarters of the numbers: proposals would take
            long, and the range is too small for its use anyhow.
    """
    waiting = sorted(set(names))
    count = last - first + 1
    if len(waiting) * 4 > count * 3:
        raise ValueError(f"assign numbers {first}..{last}: too few for {len(waiting)} names")
    wishes: dict[str, Iterator[int]] = {}
    holders: dict[int, str] = {}
    proposals = 0
    while waiting:
        proposals += 1
        if not proposals % PART_LENGTH:
            yield
        name = waiting.pop()
        if name not in wishes:
            wishes[name] = _candidates(name, first, count)
        for number in wishes[name]:
            holder = holders.get(number)
            if holder is None or _digest(name) < _digest(holder):
                holders[number] = name
                if holder is not None:
                    waiting.append(holder)
                break
    return {name: number for number, name in holders.items()}
