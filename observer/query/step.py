"""A step of a query: which rows of a part of the table are to be sent, and where to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.filters import FilterError
from observer.query.errors import QueryError
from observer.query.kinds import are_flows
from observer.query.request import FlowRequest
from observer.table import scalars
from observer.table.ring import FlowTable

_KINDS = np.arange(256, dtype=np.uint8)
_IS_FLOW = are_flows(_KINDS) & (_KINDS != scalars.LOST)
"""By kind."""


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


def undivided(table: FlowTable, start: int, stop: int) -> Step | None:
    """Return a step over all of the rows up to the end of the ring, for who wants every flow.

    None where some are none: gaps, or events of other kinds.
    """
    rows = table.segments(start, stop)[0]
    if not _IS_FLOW.take(table.columns["kind"][rows]).all():
        return None
    count = int(rows.stop - rows.start)
    positions = np.arange(start, start + count)
    return Step(positions=positions, flow_count=count, next=start + count, ended=False)


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
