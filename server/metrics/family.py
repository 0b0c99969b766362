"""A family: which rows are counted, by which numbers, and what these numbers are called.

`Family` describes one; `Counting` is one that runs, with its contexts, its metric, and a memory of
which series belong to which numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.table.interns import Interns
from observer.table.rows import Column
from server.metrics.contexts import Contexts, SideNumbers
from server.metrics.grouping import Key, Words, groups
from server.metrics.series import Counter, Labels, Metric

Columns = Mapping[str, Column]
Rows = NDArray[np.intp]

_DIRECTION_BITS: Final = 8
_KNOWN_KEYS: Final = 1 << 16
_SIDE_BITS: Final = np.uint64(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric, before contexts are chosen."""

    metric: str
    meaning: str
    labels: Labels
    select: Callable[[Columns], Rows]
    """Which rows of a batch are counted."""
    word: Callable[[Columns, Rows], Words]
    """The numbers of its labels, in 56 bits."""
    values: Callable[[int], tuple[Labels, ...]]
    """What such a word is called; each of the series counts the rows."""
    contexts_first: bool = False


class Counting:
    """A family that counts."""

    def __init__(
        self, family: Family, contexts: Contexts, interns: Interns, *, most_series: int
    ) -> None:
        self._family = family
        self._contexts = contexts
        labels = self._joined(contexts.labels, family.labels)
        self.metric = Metric(family.metric, family.meaning, labels, most_series=most_series)
        self._sides = tuple(SideNumbers(side, interns) for side in contexts.sides)
        self._has_sides = any(side.labels or side.has_own_label for side in contexts.sides)
        self._known: dict[Key, tuple[Counter, ...]] = {}

    def count(self, columns: Columns) -> None:
        """Add the rows of a batch."""
        rows = self._family.select(columns)
        if not len(rows):
            return
        own = self._family.word(columns, rows)
        if self._contexts.has_direction:
            own = own << np.uint64(_DIRECTION_BITS) | columns["direction"][rows]
        sides = None
        if self._has_sides:
            source, destination = (side.of(columns, rows) for side in self._sides)
            sides = source << _SIDE_BITS | destination
        for key, count in groups(own, sides):
            counters = self._known.get(key)
            if counters is None:
                counters = self._remember(key)
            for counter in counters:
                counter.value += count

    def remove(self, is_gone: Callable[[Mapping[str, str]], bool]) -> int:
        """Remove series by their labels; return how many."""
        labels = self.metric.labels
        self._known.clear()
        return self.metric.remove(lambda values: is_gone(dict(zip(labels, values, strict=True))))

    def _remember(self, key: Key) -> tuple[Counter, ...]:
        if len(self._known) >= _KNOWN_KEYS:
            self._known.clear()
        own, sides = key
        direction = 0
        if self._contexts.has_direction:
            own, direction = own >> _DIRECTION_BITS, own & (1 << _DIRECTION_BITS) - 1
        of_contexts: Labels = ()
        if self._has_sides:
            numbers = sides >> int(_SIDE_BITS), sides & 0xFFFFFFFF
            source, destination = (
                side.values(number) for side, number in zip(self._sides, numbers, strict=True)
            )
            of_contexts = self._contexts.values(source, destination, direction)
        elif self._contexts.has_direction:
            of_contexts = self._contexts.values((), (), direction)
        found = self._known[key] = tuple(
            self.metric.series(
                of_contexts + each if self._family.contexts_first else each + of_contexts
            )
            for each in self._family.values(own)
        )
        return found

    def _joined(self, of_contexts: Labels, own: Labels) -> Labels:
        return of_contexts + own if self._family.contexts_first else own + of_contexts
