"""Columns of chosen rows: what encoding reads of the table.

Rows that stand side by side, as most slices do, are views; others are copied out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from observer.table.ring import FlowTable


class RowColumns:
    """The columns of some rows: views where the rows are consecutive, copies where not."""

    def __init__(self, table: FlowTable, positions: NDArray[np.int64]) -> None:
        self._columns = table.columns
        self.positions = positions
        slots = table.slots(positions)
        first, last = int(slots[0]), int(slots[-1])
        consecutive = int(positions[-1] - positions[0]) == len(positions) - 1
        self._rows = slice(first, last + 1) if consecutive and first <= last else slots

    # Columns have different types, and each reader knows its own.
    def __call__(self, name: str) -> NDArray[Any]:
        """Return the values of a column, one for each row."""
        return self._columns[name][self._rows]
