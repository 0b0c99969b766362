"""The loss ledger: what was lost, at which stage and why.

Each stage between the kernel and a client counts here what it could not pass on. Metrics, the
status page and lost events read it: produced = delivered + counted, to the last event.
"""

from enum import StrEnum


class Stage(StrEnum):
    """Where something can be lost, in the order in which an event passes."""

    RING = "ring"
    DECODE = "decode"
    TABLE = "table"
    READER = "reader"
    EXPORT = "export"
    RELAY = "relay"


class Ledger:
    """Counts of what was lost, by stage and reason. They only grow."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Stage, str], int] = {}

    def count(self, stage: Stage, reason: str, n: int) -> None:
        """Add n losses; reasons are few and fixed texts, since each becomes a metric's label."""
        if n > 0:
            key = (stage, reason)
            self._counts[key] = self._counts.get(key, 0) + n

    def total(self, stage: Stage) -> int:
        """Sum the losses of a stage over all reasons."""
        return sum(n for (at, _), n in self._counts.items() if at is stage)

    def snapshot(self) -> tuple[tuple[Stage, str, int], ...]:
        """List (stage, reason, count), in the order of the stages, then by reason."""
        order = list(Stage)
        items = sorted(self._counts.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        return tuple((stage, reason, n) for (stage, reason), n in items)
