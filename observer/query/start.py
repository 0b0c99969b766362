"""Where a query begins.

Times ascend in the table, so `since` is a bisection. `number` without `since` is counted back
from the newest row, over flows that pass the filters; gaps do not count.
"""

import asyncio
from collections.abc import Callable

import numpy as np

from observer.query.pace import Pace
from observer.query.request import FlowRequest
from observer.query.step import judged
from observer.table.columns import EventKind
from observer.table.ring import FlowTable


async def start_position(
    table: FlowTable, request: FlowRequest, pace: Pace, clock_s: Callable[[], float]
) -> int:
    """Return the position of the first row to look at.

    Gives way to others between slices; cancelling it leaves nothing behind.
    """
    if request.since_ns is not None:
        return table.position_at(request.since_ns)
    if request.follow and not request.number:
        return max(table.oldest, table.head - 1)
    if request.first or not request.number:
        return table.oldest
    return await _rewind(table, request, pace, clock_s)


async def _rewind(
    table: FlowTable, request: FlowRequest, pace: Pace, clock_s: Callable[[], float]
) -> int:
    stop, missing = table.head, request.number
    if missing >= stop - table.oldest:
        return table.oldest
    while stop > table.oldest:
        began_s = clock_s()
        start = max(table.oldest, stop - pace.rows)
        # The later part, if the slice spans the end of the ring.
        rows = table.segments(start, stop)[-1]
        start = stop - int(rows.stop - rows.start)
        wanted = judged(request, table, rows)
        wanted &= table.columns["kind"][rows] != EventKind.LOST
        found = np.flatnonzero(wanted)
        if len(found) >= missing:
            return int(start + found[-missing])
        missing -= len(found)
        stop = start
        pace.took(rows.stop - rows.start, clock_s() - began_s)
        await asyncio.sleep(0)
    return table.oldest
