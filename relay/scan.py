"""Chunks of a node's stream → batches that can be merged, gaps that were told, and how far it is.

What comes in is whole length-prefixed messages, joined; they stay where they are, and a batch only
says where each begins and what its stamp is. Progress messages are cut out. A gap has the time of
its report, which may be later than what follows it, so it keeps its place: its stamp is then that
of what follows, or of the message before where nothing followed yet. A flow that is older than the
one before it has the stamp of that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from api.lane.wire import PREFIX_BYTES
from api.proto.flow.flow_pb2 import LostEvent
from relay.errors import MalformedError
from relay.times import FOREVER, LOST, NEVER_YET, HeadReader, size_at, walk

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
        self._held = b""
        """Gaps at the head of the stream: their place is not known before something follows."""

    def end(self) -> Scanned:
        """Return what was held back: the stream is over, nothing follows."""
        held, self._held = self._held, b""
        return self._scan(held, is_last=True)

    def scan(self, data: bytes) -> Scanned:
        """Read one chunk of whole messages.

        Raises:
            MalformedError: there is something else in it.
        """
        held, self._held = self._held, b""
        return self._scan(held + data if held else data, is_last=False)

    def _scan(self, data: bytes, *, is_last: bool) -> Scanned:
        result, made = Scanned(), _Unfinished()
        position = 0
        while True:
            position = self._heads.read(data, position, made.edges, made.stamps)
            if position >= len(data):
                break
            start = position + PREFIX_BYTES
            end = start + size_at(data, position)
            found = walk(data, start, end)
            if found.kind is None:
                self._close(result, data, made, position, after=found.stamp)
                made = _Unfinished()
                self._last = max(self._last, found.stamp or NEVER_YET)
            else:
                made.add(data, position, found, self._last)
                self._heads.learn(data, start, found)
            position = end
        if self._last == NEVER_YET and made.has_only_gaps and not is_last:
            self._held = data[made.edges[0] :]
        else:
            self._close(result, data, made, position, after=FOREVER if is_last else None)
        result.frontier = self._last
        return result

    def _close(
        self, result: Scanned, data: bytes, made: _Unfinished, end: int, *, after: int | None
    ) -> None:
        """Make a batch of the messages so far, in order for good."""
        if not made.stamps:
            return
        made.place_gaps(after)
        result.gaps += made.told
        stamps = made.stamps
        if stamps[0] < self._last or stamps != sorted(stamps):
            stamps = list(accumulate(stamps, max, initial=self._last))[1:]
        made.edges.append(end)
        self._last = stamps[-1]
        result.batches.append(Batch(data, made.edges, stamps))


class _Unfinished:
    """Messages that will be a batch."""

    __slots__ = ("edges", "gaps_at", "stamps", "told")

    def __init__(self) -> None:
        self.edges: list[int] = []
        self.stamps: list[int] = []
        """That of a gap is the one before it, until it gets its place."""
        self.gaps_at: list[int] = []
        self.told: list[tuple[int, LostEvent]] = []
        """Gaps, with the stamp of their report."""

    @property
    def has_only_gaps(self) -> bool:
        """Whether there is something, and all of it gaps."""
        return 0 < len(self.gaps_at) == len(self.stamps)

    def add(self, data: bytes, position: int, found: Found, last: int) -> None:
        """Add a message that is no plain flow; `last` is the stamp of what came before all."""
        before = self.stamps[-1] if self.stamps else last
        stamp = before if found.stamp is None else found.stamp
        if found.kind == LOST:
            self.told.append((stamp, _gap(data, found)))
            self.gaps_at.append(len(self.stamps))
            stamp = before
        self.stamps.append(stamp)
        self.edges.append(position)

    def place_gaps(self, after: int | None) -> None:
        """Give gaps their own stamps, or those of what follows where that is older.

        Args:
            after: Stamp of what follows the last message; None: nothing does yet.
        """
        stamps = self.stamps
        for index, (stamp, _) in zip(reversed(self.gaps_at), reversed(self.told), strict=True):
            follower = stamps[index + 1] if index + 1 < len(stamps) else after
            if follower is not None:
                stamps[index] = max(stamps[index], min(stamp, follower))


def _gap(data: bytes, found: Found) -> LostEvent:
    start, stop = found.payload
    try:
        return LostEvent.FromString(data[start:stop])
    except DecodeError as error:
        raise MalformedError("read a gap: not a LostEvent") from error
