"""A step of a query: which rows of a part of the table are to be sent, and where to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.filters import FilterError
from observer.query.errors import QueryError
from observer.query.request import FlowRequest
from observer.table.ring import FlowTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a part of the table gave."""

    positions: NDArray[np.int64]
    """Rows to send."""
    flow_count: int
    """Those of them that are no gaps."""
    next: int
    """Where to go on."""
    ended: bool
    """Whether a flow was younger than `until`."""

    @classmethod
    def joined(cls, steps: Sequence["Step"]) -> "Step":
        """Return neighbouring steps, at least one, as one."""
        if len(steps) == 1:
            return steps[0]
        return cls(
            positions=np.concatenate([step.positions for step in steps]),
            flow_count=sum(step.flow_count for step in steps),
            next=steps[-1].next,
            ended=steps[-1].ended,
        )


def judged(request: FlowRequest, table: FlowTable, rows: slice) -> NDArray[np.bool_]:
    """Return which rows in a slice of slots are wanted.

    Raises:
        QueryError: a filter takes too long.
    """
    try:
        wanted = request.selection.mask(table, rows)
    except FilterError as error:
        raise QueryError(str(error)) from error
    wanted &= request.kinds(table.columns["kind"][rows])
    return wanted
