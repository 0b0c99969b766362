"""The rate of flows, as ServerStatus tells it."""

from typing import Final

import numpy as np

from observer.table.columns import EventKind
from observer.table.ring import FlowTable

_WINDOW_NS: Final = 60_000_000_000
_NS_PER_S: Final = 1_000_000_000


def flows_rate(table: FlowTable, now_ns: int) -> float:
    """Return flows per second over the last minute, or over the table if that is younger.

    Args:
        table: the rows; gaps are not flows.
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
    flows = sum(
        int(np.count_nonzero(table.columns["kind"][segment] != EventKind.LOST))
        for segment in segments
    )
    return flows * _NS_PER_S / span_ns
