"""The perf rings of all CPUs as one stream of batches in time order.

In: one `PerfRing` per CPU. Out: `SampleBatch`, sorted by kernel time. A batch ends at the horizon:
the time up to which no ring can still deliver something older. Samples beyond it wait for the next
batch (5 ms at most while data flows). What the kernel could not store is reported as LostSamples.
Next: `observer.pipeline`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from observer.kernel.perf_event import PerfRing, Taken
from observer.kernel.wall_clock import WallClock
from observer.samples import SAMPLE_BYTES, LostSamples, SampleBatch

_MIN_RING_BYTES: Final = 512 << 10
_MAX_RING_BYTES: Final = 8 << 20
_ALL_RINGS_BYTES: Final = 64 << 20


def ring_bytes(cpu_count: int) -> int:
    """Size of one CPU's ring: a power of two, 512 KiB to 8 MiB, all together about 64 MiB."""
    share = max(_MIN_RING_BYTES, min(_MAX_RING_BYTES, _ALL_RINGS_BYTES // cpu_count))
    return 1 << (share.bit_length() - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RingSettings:
    """How the rings are read."""

    size_bytes: int | None = None
    """Ring of one CPU: power of two, bytes. None: by the number of CPUs, see `ring_bytes`."""
    batch_rows: int = 4096
    """Most samples in one batch: about 1.5 ms of work for what follows."""
    busy_s: float = 0.005
    """Time between looks while data flows: the longest a sample waits for its horizon."""
    idle_s: float = 0.05
    """Time between looks at silent rings: few wake-ups, and the last samples still come soon."""
    settle_ns: int = 200_000
    """A sample is stamped before it becomes visible; this much later nothing older appears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingStatistics:
    """Counts since the rings were opened."""

    samples: int
    lost: int
    late: int
    """Samples that came after the horizon had passed them; delivered, out of time order."""
    batches: int


class PerfRings:
    """All rings of this node. One reader; closed by `close`."""

    def __init__(
        self,
        *,
        install: Callable[[int, int], None],
        settings: RingSettings = RingSettings(),
        cpus: tuple[int, ...] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Open a ring per online CPU; `install(cpu, fd)` puts it into the programs' perf map."""
        self._settings = settings
        self._clock = clock
        self._wall_clock = WallClock()
        numbers = online_cpus() if cpus is None else cpus
        size_bytes = settings.size_bytes or ring_bytes(len(numbers))
        self._rings: list[PerfRing] = []
        try:
            for cpu in numbers:
                ring = PerfRing(cpu=cpu, size_bytes=size_bytes, wake_bytes=size_bytes // 8)
                self._rings.append(ring)
                install(cpu, ring.fd)
        except BaseException:
            self.close()
            raise
        # a full batch of new samples on top of what may be held back
        self._chunk = max(64, settings.batch_rows // (4 * len(numbers)))
        rows = 2 * settings.batch_rows + self._chunk * len(numbers)
        self._pending = _Rows(rows)
        self._sorted = _Rows(rows)
        self._held = 0
        self._passed_ns = 0
        self._reported = dict.fromkeys(numbers, 0)
        self._samples = self._late = self._batches = self._misshapen = 0

    def take(self) -> SampleBatch | None:
        """Take what has arrived, without waiting; None if there is nothing to say yet.

        The arrays of a batch are overwritten by the next call.
        """
        batch = self._look()
        return batch if batch.has_news else None

    def _look(self) -> SampleBatch:
        """Take what has arrived: at least the horizon."""
        now_ns = self._clock()
        count, horizon_ns = self._collect(now_ns - self._settings.settle_ns)
        lost = self._newly_lost(now_ns)
        misshapen = self._newly_misshapen()
        ready = self._sort(count, horizon_ns)
        self._samples += ready
        self._batches += bool(ready or lost or misshapen)
        return SampleBatch(
            samples=self._sorted.samples[:ready].view(np.uint8).reshape(ready, SAMPLE_BYTES),
            mono_ns=self._sorted.times[:ready],
            cpus=self._sorted.cpus[:ready],
            wall_offset_ns=self._wall_clock.offset_ns(),
            lost=lost,
            misshapen=misshapen,
            horizon_mono_ns=horizon_ns,
        )

    async def batches(
        self,
        *,
        turn: Callable[[], Awaitable[None]] | None = None,
        is_watched: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[SampleBatch, None]:
        """Yield batches for ever; between two the loop runs at least once. Close it to stop.

        Args:
            turn: awaited before each look, so that work on a batch falls together with no other.
            is_watched: whether somebody wants to know the horizon also where nothing comes: then
                silent rings are looked at as often as busy ones, and batches may be empty.
        """
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        for ring in self._rings:
            loop.add_reader(ring.fd, woken.set)
        try:
            while True:
                if turn is not None:
                    await turn()
                batch, watched = self._look(), is_watched()
                if batch.has_news or watched:
                    yield batch
                if not (batch.has_news or watched or self._held):
                    await _wait(woken, self._settings.idle_s)
                elif len(batch) >= self._settings.batch_rows // 2:
                    await asyncio.sleep(0)
                else:
                    await _wait(woken, self._settings.busy_s)
                woken.clear()
        finally:
            for ring in self._rings:
                loop.remove_reader(ring.fd)

    def statistics(self) -> RingStatistics:
        """Counts since the rings were opened."""
        return RingStatistics(
            samples=self._samples,
            lost=sum(self._reported.values()),
            late=self._late,
            batches=self._batches,
        )

    def close(self) -> None:
        """Close all rings. The programs' events are counted as unread from here on."""
        for ring in self._rings:
            ring.close()
        self._rings.clear()

    def _collect(self, horizon_ns: int) -> tuple[int, int]:
        """Copy new samples behind those held back; the rows in all and the horizon.

        The ring that is furthest behind is read first, a chunk at a time: so no ring can run ahead
        of the horizon by more than a chunk, which bounds what is held back.
        """
        count, stop = self._held, self._held + self._settings.batch_rows
        waiting = list(self._rings)
        while waiting and count < min(stop, len(self._pending.times) - self._chunk):
            ring = min(waiting, key=_last_time)
            taken = ring.take(self._chunk)
            count = self._append(ring, taken, count)
            if taken.drained:
                waiting.remove(ring)
        return count, min([horizon_ns, *map(_last_time, waiting)])

    def _append(self, ring: PerfRing, taken: Taken, count: int) -> int:
        for run in taken.runs:
            end = count + len(run)
            self._pending.samples[count:end] = run["sample"]
            self._pending.times[count:end] = run["time"]
            self._pending.cpus[count:end] = ring.cpu
            count = end
        ring.release()
        return count

    def _sort(self, count: int, horizon_ns: int) -> int:
        """Move what is due, in time order, to `_sorted`; keep the rest. Rows moved."""
        pending, due = self._pending, self._sorted
        order = np.argsort(pending.times[:count], kind="stable")
        times = pending.times[:count][order]
        ready = int(np.searchsorted(times, horizon_ns, side="right"))
        # a burst inside the settling time may exceed a batch: room for the next one must remain
        ready = max(ready, count - self._settings.batch_rows)
        if ready:
            self._late += int(np.searchsorted(times[:ready], self._passed_ns))
            self._passed_ns = max(self._passed_ns, int(times[ready - 1]))
        pending.copy_to(due, order, count)
        self._held = count - ready
        pending.take_tail(due, ready, count)
        return ready

    def _newly_misshapen(self) -> int:
        before, self._misshapen = self._misshapen, sum(ring.misshapen for ring in self._rings)
        return self._misshapen - before

    def _newly_lost(self, now_ns: int) -> tuple[LostSamples, ...]:
        found: list[LostSamples] = []
        for ring in self._rings:
            total = ring.lost()
            new = total - self._reported[ring.cpu]
            if new:
                self._reported[ring.cpu] = total
                found.append(
                    LostSamples(
                        cpu=ring.cpu,
                        count=new,
                        first_mono_ns=ring.last_time_ns,
                        last_mono_ns=now_ns,
                    )
                )
        return tuple(found)


class _Rows:
    """Samples with time and CPU, preallocated."""

    __slots__ = ("cpus", "samples", "times")

    def __init__(self, count: int) -> None:
        self.samples = np.zeros(count, f"V{SAMPLE_BYTES}")
        self.times = np.zeros(count, np.int64)
        self.cpus = np.zeros(count, np.uint16)

    def copy_to(
        self, other: "_Rows", order: np.ndarray[tuple[int], np.dtype[np.intp]], count: int
    ) -> None:
        self.samples.take(order, out=other.samples[:count], mode="clip")
        self.times.take(order, out=other.times[:count], mode="clip")
        self.cpus.take(order, out=other.cpus[:count], mode="clip")

    def take_tail(self, other: "_Rows", start: int, stop: int) -> None:
        held = stop - start
        self.samples[:held] = other.samples[start:stop]
        self.times[:held] = other.times[start:stop]
        self.cpus[:held] = other.cpus[start:stop]


def online_cpus() -> tuple[int, ...]:
    """Numbers of the CPUs that are online, from /sys/devices/system/cpu/online."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        text = file.read().strip()
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return tuple(found)


def _last_time(ring: PerfRing) -> int:
    return ring.last_time_ns


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
