"""What the relay has seen of one node since it started: counts, times, the last thing that failed.

Written by the node's connection and by all streams that come from it, read by who asks for status.
Gaps of the node itself are in its history and come again with each reading: each counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.proto.flow.flow_pb2 import LostEventSource
from relay.times import NEVER_YET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.proto.flow.flow_pb2 import LostEvent


@dataclass(slots=True, kw_only=True)
class Account:
    """The account of one node; times are wall time, nanoseconds since 1970."""

    version: str = ""
    connected_since_ns: int | None = None
    last_message_ns: int | None = None
    flows_received: int = 0
    lost_events: int = 0
    last_error: str = ""
    last_error_ns: int | None = None
    connections: int = 0
    frontiers: dict[object, int] = field(default_factory=dict)
    """How far each stream is that follows now, as a time."""
    _gaps_until: int = NEVER_YET

    @property
    def reconnects(self) -> int:
        """How often a connection was made after one had been lost."""
        return max(self.connections - 1, 0)

    def heard(self, now_ns: int, flow_count: int) -> None:
        """Note that something came."""
        self.last_message_ns = now_ns
        self.flows_received += flow_count

    def lost(self, gaps: Iterable[tuple[int, LostEvent]]) -> None:
        """Count gaps that the node told, given with the stamps of their reports."""
        newest = self._gaps_until
        for stamp, gap in gaps:
            # what a reader missed is told to that reader alone
            if gap.source == LostEventSource.HUBBLE_RING_BUFFER or stamp > self._gaps_until:
                self.lost_events += gap.num_events_lost
            if gap.source != LostEventSource.HUBBLE_RING_BUFFER:
                newest = max(newest, stamp)
        self._gaps_until = newest

    def failed(self, now_ns: int, text: str) -> None:
        """Note what went wrong."""
        self.last_error, self.last_error_ns = text, now_ns

    def lag_ns(self, now_ns: int) -> int | None:
        """Return how far the node is behind the clock, at most, None while nobody follows."""
        if not self.frontiers:
            return None
        return max(now_ns - min(self.frontiers.values()), 0)
