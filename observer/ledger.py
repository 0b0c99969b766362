"""The loss ledger: what was lost, at which stage and why.

Each stage between the kernel and a client counts here what it could not pass on. Metrics, the
status page and lost events read it: produced = delivered + counted, to the last event.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where something can be lost, in the order in which an event passes."""

    RING = "ring"
    DECODE = "decode"
    TABLE = "table"
    READER = "reader"
    EXPORT = "export"
    RELAY = "relay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """All that was lost at one stage for one reason; wall times of when it was counted."""

    stage: Stage
    reason: str
    count: int
    first_ns: int
    last_ns: int


class Ledger:
    """Counts of what was lost, by stage and reason. They only grow."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._losses: dict[tuple[Stage, str], Loss] = {}

    def count(self, stage: Stage, reason: str, n: int) -> None:
        """Add n losses; reasons are few and fixed texts, since each becomes a metric's label."""
        if n <= 0:
            return
        now_ns = self._wall_ns()
        known = self._losses.get((stage, reason))
        self._losses[stage, reason] = Loss(
            stage=stage,
            reason=reason,
            count=n + (known.count if known else 0),
            first_ns=known.first_ns if known else now_ns,
            last_ns=now_ns,
        )

    def total(self, stage: Stage) -> int:
        """Sum the losses of a stage over all reasons."""
        return sum(loss.count for loss in self._losses.values() if loss.stage is stage)

    def losses(self) -> tuple[Loss, ...]:
        """List what was lost, in the order of the stages, then by reason."""
        order = list(Stage)
        return tuple(
            sorted(self._losses.values(), key=lambda loss: (order.index(loss.stage), loss.reason))
        )

    def snapshot(self) -> tuple[tuple[Stage, str, int], ...]:
        """List (stage, reason, count), in the same order."""
        return tuple((loss.stage, loss.reason, loss.count) for loss in self.losses())
