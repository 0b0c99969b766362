"""Chunks of a node's stream → batches that can be merged, gaps that were told, and how far it is.

What comes in is whole length-prefixed messages, joined; they stay where they are, and a batch only
says where each begins and what its stamp is. Progress messages are cut out. A gap has the time of
its report, which may be later than what follows it, so it keeps its place: its stamp is that of the
message before. So is that of a flow that is older than the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from api.lane.wire import PREFIX_BYTES
from api.proto.flow.flow_pb2 import LostEvent
from relay.errors import MalformedError
from relay.times import LOST, NEVER_YET, HeadReader, size_at, walk

if TYPE_CHECKING:
    from relay.times import Found


class Batch:
    """Messages of one node that follow each other, sorted by stamp; `next` are still to go."""

    __slots__ = ("data", "edges", "next", "pushed_s", "stamps")

    def __init__(self, data: bytes, edges: list[int], stamps: list[int]) -> None:
        self.data = data
        self.edges = edges
        """Where each message begins, and where the last one ends: one more than stamps."""
        self.stamps = stamps
        self.next = 0
        self.pushed_s = 0.0
        """When it came, by the clock of who merges."""

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def size_bytes(self) -> int:
        """What it keeps in memory, about."""
        return self.edges[-1] - self.edges[0]

    def message(self, index: int) -> bytes:
        """Return a message with its prefix."""
        return self.data[self.edges[index] : self.edges[index + 1]]


@dataclass(slots=True, kw_only=True)
class Scanned:
    """What was in a chunk."""

    batches: list[Batch] = field(default_factory=list)
    frontier: int = NEVER_YET
    """The node sends nothing with an earlier stamp after this chunk."""
    gaps: list[tuple[int, LostEvent]] = field(default_factory=list)
    """Gaps that were told, with the stamp of their report."""


class Scanner:
    """Reads the chunks of one stream, in order."""

    def __init__(self) -> None:
        self._heads = HeadReader()
        self._last = NEVER_YET

    def scan(self, data: bytes) -> Scanned:
        """Read one chunk of whole messages.

        Raises:
            MalformedError: there is something else in it.
        """
        result = Scanned()
        edges: list[int] = []
        stamps: list[int] = []
        position = 0
        while True:
            position = self._heads.read(data, position, edges, stamps)
            if position >= len(data):
                break
            start = position + PREFIX_BYTES
            end = start + size_at(data, position)
            found = walk(data, start, end)
            if found.kind is None:
                self._close(result, data, edges, stamps, position)
                edges, stamps = [], []
                self._last = max(self._last, found.stamp or NEVER_YET)
            else:
                before = stamps[-1] if stamps else self._last
                stamps.append(self._judge(result, data, found, before))
                edges.append(position)
                self._heads.learn(data, start, found)
            position = end
        self._close(result, data, edges, stamps, position)
        result.frontier = self._last
        return result

    def _judge(self, result: Scanned, data: bytes, found: Found, before: int) -> int:
        """Return the stamp of a message that is no plain flow; note it if it tells a gap."""
        if found.kind != LOST:
            return before if found.stamp is None else found.stamp
        start, stop = found.payload
        try:
            lost = LostEvent.FromString(data[start:stop])
        except DecodeError as error:
            raise MalformedError("read a gap: not a LostEvent") from error
        result.gaps.append((before if found.stamp is None else found.stamp, lost))
        return before

    def _close(
        self, result: Scanned, data: bytes, edges: list[int], stamps: list[int], end: int
    ) -> None:
        """Make a batch of the messages so far, in order for good."""
        if not stamps:
            return
        if stamps[0] < self._last or stamps != sorted(stamps):
            stamps = list(accumulate(stamps, max, initial=self._last))[1:]
        edges.append(end)
        self._last = stamps[-1]
        result.batches.append(Batch(data, edges, stamps))
