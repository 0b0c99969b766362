"""Many streams sorted by time → one, as bytes.

Each source has sent everything up to its frontier. What is not younger than all frontiers can go:

    a  ████████████│frontier           │ = the frontier of the slowest source that limits
    b  ███████│                        everything left of it goes, in the order of time
    c  █████████████████│
              ▲ horizon

Others wait `patience_s` for a source that says nothing new. Then it does not limit any more, until
it has caught up with what went meanwhile: order is given up for life. The same is done, among
streams without an end, with a source that is live and tells times long past: its clock is wrong.
The core does no I/O and has no tasks: who pushes waits for `Source.room`, who takes is woken by
`wake`. Bounded: a source holds at most `MOST_BUFFERED_BYTES` and one chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final

from api.lane.stream import Wakeup
from api.lane.wire import Framed
from relay.times import FOREVER, NEVER_YET, time_ns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.scan import Batch

MOST_BUFFERED_BYTES: Final = 128 << 10
"""What a source may hold before it has to wait."""
_MOST_TAKEN: Final = 1_024
"""Messages in one take, about: a millisecond."""
_SAMPLED: Final = 8
"""To cut a take, one of so many messages is looked at."""
_LIVE_SPEED: Final = 2.0
"""Who tells history tells an hour in less than half of it."""


class Source:
    """One stream that goes into a merge; made by `Merge.add`."""

    __slots__ = (
        "_mark",
        "_merge",
        "_room",
        "batches",
        "buffered_bytes",
        "frontier",
        "given_up_at",
        "heard_s",
        "is_live",
        "limits",
    )

    def __init__(self, merge: Merge, *, limits: bool, heard_s: float) -> None:
        self._merge = merge
        self._room = Wakeup()
        self.batches: deque[Batch] = deque()
        self.buffered_bytes = 0
        self.frontier = NEVER_YET
        self.heard_s = heard_s
        """When it last said something new."""
        self.limits = limits
        self.given_up_at = NEVER_YET
        """Its frontier when it ceased to limit."""
        self.is_live = False
        """Whether its times pass about as fast as the clock: it tells no history."""
        self._mark = (heard_s, NEVER_YET)

    async def room(self) -> None:
        """Wait until more may be pushed."""
        while self.buffered_bytes >= MOST_BUFFERED_BYTES:
            await self._room.wait()

    def push(self, batches: Iterable[Batch], frontier: int) -> None:
        """Add what came, and note that nothing earlier than the frontier will follow."""
        now_s = self._merge.clock_s()
        first = FOREVER
        for batch in batches:
            first = min(first, batch.stamps[0])
            batch.pushed_s = now_s
            self.batches.append(batch)
            self.buffered_bytes += batch.size_bytes
        if frontier > self.frontier or first < FOREVER:
            self.frontier = max(self.frontier, frontier)
            self.heard_s = now_s
            self._measure(now_s)
        self._merge.pushed(self, first)

    def end(self) -> None:
        """Say that nothing follows at all; what is here still goes."""
        self.frontier = FOREVER
        self._merge.pushed(self, NEVER_YET)

    def release(self, size_bytes: int) -> None:
        """Note that so much has gone."""
        self.buffered_bytes -= size_bytes
        if self.buffered_bytes < MOST_BUFFERED_BYTES:
            self._room.notify()

    def _measure(self, now_s: float) -> None:
        """See how fast its times pass, once in a second."""
        mark_s, mark = self._mark
        if now_s - mark_s >= 1.0:
            passed_s = (time_ns_of(self.frontier) - time_ns_of(mark)) / 1e9
            self.is_live = passed_s < _LIVE_SPEED * (now_s - mark_s)
            self._mark = (now_s, self.frontier)


class Merge:
    """Sorts what its sources push; one task takes.

    Args:
        patience_s: How long others wait for a source that is silent.
        clock_s: Tells how long that is.
        wake: Called when there may be something to take.
        follows: These streams do not end by themselves.
    """

    def __init__(
        self,
        *,
        patience_s: float,
        clock_s: Callable[[], float],
        wake: Callable[[], None],
        follows: bool = False,
    ) -> None:
        self.clock_s = clock_s
        self._patience_s = patience_s
        self._wake = wake
        self._follows = follows
        self._sources: list[Source] = []
        self.horizon = NEVER_YET
        """What is not younger can be taken, as far as was known at the last look."""
        self._slowest: Source | None = None
        self.passed = NEVER_YET
        """The highest stamp that was taken: what is earlier and comes now is out of order."""

    def add(self, *, limits: bool = True) -> Source:
        """Add a source; one that does not limit from the start does so when it has caught up."""
        source = Source(self, limits=limits, heard_s=self.clock_s())
        self._sources.append(source)
        return source

    @property
    def is_empty(self) -> bool:
        """Whether all sources have ended and all that they sent is gone."""
        return not any(each.batches or each.frontier < FOREVER for each in self._sources)

    def pushed(self, source: Source, first: int) -> None:
        """Take note of what a source says; `first` is the lowest stamp that it brought."""
        if first <= self.horizon or source is self._slowest or self._slowest is None:
            self._wake()

    def take(self) -> Framed | None:
        """Return what can go now, or a part of it; None if nothing can."""
        self._look()
        ready = [each for each in self._sources if each.batches]
        picked = _pick(ready, self.horizon)
        if sum(stop - batch.next for _, batch, stop in picked) > _MOST_TAKEN:
            picked = _pick(ready, min(self.horizon, _cut(picked)))
        if not picked:
            return None
        ranges = [(batch, stop) for _, batch, stop in picked]
        framed = _whole(ranges) if picked[0][0] is picked[-1][0] else _sorted(ranges)
        for source, batch, stop in picked:
            self.passed = max(self.passed, batch.stamps[stop - 1])
            self._advance(source, batch, stop)
        return framed

    @property
    def last_heard_s(self) -> float:
        """When any source last said something new, by the clock; before all time without one."""
        return max((each.heard_s for each in self._sources), default=float("-inf"))

    def due_s(self) -> float | None:
        """Return when to call `give_up`, by the clock; None if nobody waits."""
        slowest = self._slowest
        if slowest is None or slowest.batches:
            return None
        waiting = [each.batches[0].pushed_s for each in self._sources if each.batches]
        if not waiting:
            return None
        due_s = slowest.heard_s
        if self._follows and slowest.is_live:
            due_s = min(due_s, *waiting)
        return due_s + self._patience_s

    def give_up(self) -> int:
        """Wait no more for sources that took too long; return how many there were."""
        count = 0
        while (due_s := self.due_s()) is not None and self._slowest is not None:
            if self.clock_s() < due_s:
                break
            self._slowest.limits = False
            self._slowest.given_up_at = self._slowest.frontier
            count += 1
            self._look()
        return count

    def _look(self) -> None:
        """Find the horizon, and who sets it; forget sources that are done."""
        horizon, slowest = FOREVER, None
        ended = False
        for source in self._sources:
            frontier = source.frontier
            if frontier == FOREVER:
                ended |= not source.batches
                continue
            if not source.limits:
                if frontier < self.passed or frontier <= source.given_up_at:
                    continue
                source.limits = True
            if frontier < horizon:
                horizon, slowest = frontier, source
        if ended:
            self._sources = [each for each in self._sources if each.batches or _goes_on(each)]
        self.horizon, self._slowest = horizon, slowest

    def _advance(self, source: Source, batch: Batch, stop: int) -> None:
        batch.next = stop
        if stop == len(batch):
            source.batches.popleft()
            source.release(batch.size_bytes)


def _goes_on(source: Source) -> bool:
    return source.frontier < FOREVER


def _pick(sources: Iterable[Source], horizon: int) -> list[tuple[Source, Batch, int]]:
    """Return how far batches can go; those of a source follow each other."""
    picked = []
    for source in sources:
        for batch in source.batches:
            stamps = batch.stamps
            if stamps[batch.next] > horizon:
                break
            if stamps[-1] <= horizon:
                picked.append((source, batch, len(stamps)))
                continue
            picked.append((source, batch, bisect_right(stamps, horizon, batch.next)))
            break
    return picked


def _cut(picked: list[tuple[Source, Batch, int]]) -> int:
    """Return a horizon below which there are about as many messages as one take may have."""
    some = sorted(
        stamp
        for _, batch, stop in picked
        for stamp in batch.stamps[batch.next + _SAMPLED - 1 : stop : _SAMPLED]
    )
    # each stands for those before it; where batches are shorter than that, all may go
    place = _MOST_TAKEN // _SAMPLED
    return some[place] if place < len(some) else FOREVER


def _whole(ranges: list[tuple[Batch, int]]) -> Framed:
    """Join ranges (from each batch's `next`) of one source as they are."""
    pieces = [batch.data[batch.edges[batch.next] : batch.edges[stop]] for batch, stop in ranges]
    return Framed(b"".join(pieces), sum(stop - batch.next for batch, stop in ranges))


def _sorted(ranges: list[tuple[Batch, int]]) -> Framed:
    """Join the messages of ranges in the order of time."""
    stamps: list[int] = []
    pieces: list[bytes] = []
    for batch, stop in ranges:
        start, data, edges = batch.next, batch.data, batch.edges
        stamps += batch.stamps[start:stop]
        pieces += [
            data[begin:end]
            for begin, end in zip(edges[start:stop], edges[start + 1 : stop + 1], strict=True)
        ]
    # Runs that are sorted: the sort merges them, and equal stamps keep the order of sources.
    order = sorted(range(len(stamps)), key=stamps.__getitem__)
    return Framed(b"".join([pieces[index] for index in order]), len(order))
