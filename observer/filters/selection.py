"""A request's filters, compiled: which rows of the table does it want?

A row passes if one of the allowing filters matches, or there are none, and none of the denying
ones does. Gaps (rows of kind LOST) always pass: a reader must hear of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from observer.filters.condition import Condition, Cost, Mask, RowSlice
from observer.table.columns import EventKind
from observer.table.ring import FlowTable

_NARROWING: Final = 8
"""Conditions look at the rows that are left alone where those are one of so many, or fewer."""

_MOST_ROWS: Final = 1 << 17
_MOST_NS: Final = 250_000
"""Where rows are judged one by one: what a slice of them may take."""

Conditions = tuple[Condition, ...]
"""One FlowFilter: all conditions must hold, and none at all matches everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What compile_filters makes; it holds verdicts on interned values, so keep one per request."""

    allow: Sequence[Conditions]
    deny: Sequence[Conditions]
    value_count: int = 1
    """How many values the filters name: what each look at the rows costs grows with it."""

    @property
    def everything(self) -> bool:
        """Whether no row is ever refused."""
        return not self.deny and (not self.allow or any(not each for each in self.allow))

    @property
    def most_rows(self) -> int:
        """How many rows `mask` should be asked about at once, so that a step stays short."""
        filters = (*self.allow, *self.deny)
        row_ns = sum(condition.row_ns for each in filters for condition in each)
        if row_ns:
            return max(_MOST_NS // row_ns, 1)
        return _MOST_ROWS // max(len(filters), 1)

    def judge(self, table: FlowTable) -> Iterator[None]:
        """Judge beforehand what the table's rows refer to, a little at each step.

        Without it the first masks take longer: a microsecond for each question about each value.
        """
        for each in (*self.allow, *self.deny):
            for condition in each:
                if condition.judge is not None:
                    yield from condition.judge(table)

    def mask(self, table: FlowTable, rows: slice) -> Mask:
        """Judge the rows in a slice of slots; start and stop must be given.

        Returns:
            One boolean per slot.
        """
        view = RowSlice(table=table, slots=rows)
        if self.everything:
            return np.ones(len(view), np.bool_)
        result = _any_filter(self.allow, view) if self.allow else np.ones(len(view), np.bool_)
        if self.deny and result.any():
            result &= ~_any_filter(self.deny, view)
        lost: Mask = view.column("kind") == EventKind.LOST
        return result | lost


def _any_filter(filters: Sequence[Conditions], rows: RowSlice) -> Mask:
    result = _all_conditions(filters[0], rows)
    for each in filters[1:]:
        result |= _all_conditions(each, rows)
    return result


def _all_conditions(conditions: Conditions, rows: RowSlice) -> Mask:
    if len(conditions) == 1:
        return conditions[0].mask(rows)
    result = np.ones(len(rows), np.bool_)
    narrowed = rows
    for condition in conditions:
        if condition.cost is Cost.EXPRESSION:
            narrowed = rows.pick(result)
        if narrowed.picked is None:
            result &= condition.mask(narrowed)
        else:
            result[narrowed.picked] = condition.mask(narrowed)
        left = np.count_nonzero(result)
        if not left:
            break
        if _NARROWING * left < len(rows):
            narrowed = rows.pick(result)
    return result
