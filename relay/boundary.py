"""Where a stream broke off, so that the next one of the same node goes on without a message twice.

`since` of a request is inclusive: what has the very time of the last message comes again. Those are
remembered, bytes and all, and left out once each.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from relay.scan import Batch
from relay.times import NEVER_YET

if TYPE_CHECKING:
    from collections.abc import Iterable


class Boundary:
    """The end of what a node has sent so far."""

    def __init__(self) -> None:
        self.stamp = NEVER_YET
        """Everything earlier has come; NEVER_YET: nothing has."""
        self._last: Counter[bytes] = Counter()
        self._again: Counter[bytes] = Counter()

    def note(self, batches: Iterable[Batch], frontier: int) -> None:
        """Note what came."""
        for batch in batches:
            self._raise(batch.stamps[-1])
            index = len(batch) - 1
            while index >= 0 and batch.stamps[index] == self.stamp:
                self._last[batch.message(index)] += 1
                index -= 1
        self._raise(frontier)

    def begin_again(self) -> None:
        """Expect the messages at the boundary once more."""
        self._again = self._last.copy()

    def left_out(self, batches: list[Batch]) -> list[Batch]:
        """Return batches without what had come before the stream broke off."""
        if not self._again:
            return batches
        return [rest for batch in batches if len(rest := self._rest(batch))]

    def _rest(self, batch: Batch) -> Batch:
        kept: list[int] = []
        for index, stamp in enumerate(batch.stamps):
            message = batch.message(index) if self._again else b""
            # whatever its stamp: that of a gap depends on what came with it
            if self._again[message] > 0:
                self._again[message] -= 1
            elif stamp > self.stamp:
                self._again.clear()
                kept.append(index)
            else:
                kept.append(index)
        if len(kept) == len(batch):
            return batch
        return _only(batch, kept)

    def _raise(self, stamp: int) -> None:
        if stamp > self.stamp:
            self.stamp = stamp
            self._last.clear()


def _only(batch: Batch, kept: list[int]) -> Batch:
    edges = [0]
    pieces = [batch.message(index) for index in kept]
    for piece in pieces:
        edges.append(edges[-1] + len(piece))
    return Batch(b"".join(pieces), edges, [batch.stamps[index] for index in kept])
