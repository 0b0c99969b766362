"""What one field of a filter becomes: a condition over a slice of the table.

`RowSlice` is what conditions look at, `Condition` how they are called, and `RefVerdicts` the way
to judge rows by what they refer to: each interned value is judged once, each row by its number.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.table.interns import Interns, InternTable
from observer.table.ring import FlowTable

Mask = NDArray[np.bool_]
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSlice:
    """Consecutive slots of a table, or some of them."""

    table: FlowTable
    slots: slice
    picked: NDArray[np.intp] | None = None
    """Indices within the slots, ascending; None for all."""

    # Columns have different types, and each reader knows its own.
    def column(self, name: str) -> NDArray[Any]:
        """Return the column's values for these rows; not to be written to."""
        values = self.table.columns[name][self.slots]
        return values if self.picked is None else values.take(self.picked, axis=0)

    def pick(self, rows: Mask) -> "RowSlice":
        """Narrow a slice of consecutive rows to those that the mask has."""
        return replace(self, picked=np.flatnonzero(rows))

    @property
    def interns(self) -> Interns:
        """What the rows' refs refer to."""
        return self.table.interns

    def __len__(self) -> int:
        if self.picked is not None:
            return len(self.picked)
        return int(self.slots.stop - self.slots.start)


class Cost(IntEnum):
    """How conditions are ordered within a filter: cheap ones first."""

    UUID = 0
    """Computes slots; the only one that must see consecutive ones."""
    CONSTANT = 1
    """Does not look at the rows."""
    COLUMN = 2
    """Compares a narrow column."""
    WIDE = 3
    """Compares addresses."""
    REFERENCE = 4
    """Looks up refs; judges values not seen before."""
    EXPRESSION = 5
    """Makes a message of each row: sees only those that all others leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A test of rows."""

    cost: Cost
    mask: Callable[[RowSlice], Mask]
    """One boolean per row; a new array, the caller may overwrite it."""
    judge: Callable[[FlowTable], Iterator[None]] | None = None
    """Judges beforehand what rows may refer to, a value at a time: many questions about many values
    take longer than anybody may wait. None where `mask` takes no longer the first time."""
    row_ns: int = 0
    """What a row may take; 0 for a condition on columns, which are judged by the thousand."""


def constant(answer: bool) -> Condition:
    """Return a condition that gives all rows the same answer."""
    return Condition(cost=Cost.CONSTANT, mask=lambda rows: np.full(len(rows), answer))


def one_of(column: str, values: Iterable[int]) -> Condition:
    """Return a condition: the column holds one of the values. Values it cannot hold are ignored."""
    wanted = sorted(set(values))
    return Condition(cost=Cost.COLUMN, mask=lambda rows: membership(rows.column(column), wanted))


def membership(values: NDArray[Any], wanted: list[int]) -> Mask:
    """Return which of the integers are wanted; a few comparisons beat a look-up table."""
    bounds = np.iinfo(values.dtype)
    held = [number for number in wanted if bounds.min <= number <= bounds.max]
    if len(held) > _FEW:
        return np.isin(values, np.array(held, values.dtype))
    result = np.zeros(len(values), np.bool_)
    for number in held:
        result |= values == number
    return result


_FEW: Final = 8

_MANY: Final = 16

_UNDECIDED: Final = 0
_REFUSED: Final = 1
_ACCEPTED: Final = 2


class RefVerdicts(Generic[T]):
    """Which entries of an intern table satisfy a predicate.

    An entry is judged when a row first refers to it. Refs are freed and used again: verdicts on
    those are forgotten.
    """

    def __init__(self, predicate: Callable[[T], bool], *, absent: bool = False) -> None:
        """Take the predicate, and the verdict on rows that refer to nothing (ref 0)."""
        self._predicate = predicate
        self._verdicts = np.array([_ACCEPTED if absent else _REFUSED], np.uint8)
        self._judged: dict[int, T] = {}
        self._version = -1

    def mask(self, interns: InternTable[T], refs: NDArray[np.int32]) -> Mask:
        """Return the verdict for each row; `refs` is int32, shape (n,)."""
        if interns.version != self._version:
            self._follow(interns)
        verdicts = self._verdicts.take(refs)
        if (verdicts == _UNDECIDED).any():
            self._judge(interns, refs)
            verdicts = self._verdicts.take(refs)
        accepted: Mask = verdicts == _ACCEPTED
        return accepted

    def judge(self, interns: InternTable[T]) -> Iterator[None]:
        """Judge all there is now, one at each step; the table may change between two."""
        for ref, value in list(interns.items()):
            if interns.version != self._version:
                self._follow(interns)
            if ref not in self._judged and interns.get(ref) is value:
                self._verdicts[ref] = _ACCEPTED if self._predicate(value) else _REFUSED
                self._judged[ref] = value
            yield

    def _judge(self, interns: InternTable[T], refs: NDArray[np.int32]) -> None:
        if len(interns) * _MANY < len(refs):
            # Few values: judging all costs less than finding out which of them occur.
            values = dict(interns.items())
            for ref in self._judged:
                del values[ref]
        else:
            occurring = set(refs.tolist())
            values = {ref: interns[ref] for ref in occurring if ref and ref not in self._judged}
        numbers = np.fromiter(values, np.intp, len(values))
        accepted = np.fromiter(map(self._predicate, values.values()), np.bool_, len(values))
        self._verdicts[numbers] = np.where(accepted, np.uint8(_ACCEPTED), np.uint8(_REFUSED))
        self._judged.update(values)

    def _follow(self, interns: InternTable[T]) -> None:
        """Grow with the intern table and forget entries that are gone."""
        if interns.size > len(self._verdicts):
            # Doubled, so that a growing table does not copy at each step.
            grown = np.zeros(max(interns.size, 2 * len(self._verdicts)), np.uint8)
            grown[: len(self._verdicts)] = self._verdicts
            self._verdicts = grown
        if self._judged:
            freed = interns.freed_since(self._version)
            for ref in self._changed(interns) if freed is None else freed:
                if self._judged.pop(ref, None) is not None:
                    self._verdicts[ref] = _UNDECIDED
        self._version = interns.version

    def _changed(self, interns: InternTable[T]) -> list[int]:
        """Find out which entries are not those that were judged, where too many were freed."""
        live = dict(interns.items())
        return [ref for ref, value in self._judged.items() if live.get(ref) is not value]
