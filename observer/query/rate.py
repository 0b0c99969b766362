"""The rate of flows, as ServerStatus tells it."""

from typing import Final

import numpy as np

from observer.query.kinds import are_flows
from observer.table import scalars
from observer.table.ring import FlowTable

_WINDOW_NS: Final = 60_000_000_000
_NS_PER_S: Final = 1_000_000_000


def flows_rate(table: FlowTable, now_ns: int) -> float:
    """Return flows per second over the last minute, or over the table if that is younger.

    Args:
        table: the rows; gaps and events of other kinds are no flows.
        now_ns: wall time.
    """
    oldest = table.oldest
    if oldest == table.head:
        return 0.0
    oldest_ns = int(table.columns["time_ns"][oldest & table.capacity])
    span_ns = min(_WINDOW_NS, now_ns - oldest_ns)
    if span_ns <= 0:
        return 0.0
    segments = table.segments(table.position_at(now_ns - span_ns), table.head)
    kinds = [table.columns["kind"][segment] for segment in segments]
    flows = sum(int(np.count_nonzero(are_flows(kind) & (kind != scalars.LOST))) for kind in kinds)
    return flows * _NS_PER_S / span_ns
