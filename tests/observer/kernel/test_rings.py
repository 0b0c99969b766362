"""Perf rings against the real kernel: a BPF program writes numbered samples, we read them back."""

import asyncio
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.emitter import Emitter, create_perf_map
from observer.kernel import syscall
from observer.kernel.rings import PerfRings, RingSettings, online_cpus, ring_bytes
from observer.samples import SAMPLE_BYTES, SampleBatch

pytestmark = pytest.mark.kernel

NUMBERS = 256
PAGE = 4096
CPUS = online_cpus()

Open = Callable[..., PerfRings]


@pytest.fixture
def events() -> Iterator[int]:
    fd = create_perf_map()
    yield fd
    os.close(fd)


@pytest.fixture
def emitter(events: int) -> Iterator[Emitter]:
    """Writes samples whose first byte counts from 0 to 255 and begins again."""
    samples = np.zeros((NUMBERS, SAMPLE_BYTES), np.uint8)
    samples[:, 0] = np.arange(NUMBERS)
    with Emitter(samples, events) as made:
        yield made
    os.sched_setaffinity(0, set(CPUS))


@pytest.fixture
def open_rings(events: int) -> Iterator[Open]:
    made: list[PerfRings] = []

    def install(cpu: int, fd: int) -> None:
        syscall.update(events, struct.pack("=i", cpu), struct.pack("=i", fd))

    def make(**settings: int) -> PerfRings:
        # on one CPU nothing is still on its way when its writer has returned
        made.append(PerfRings(install=install, settings=RingSettings(settle_ns=0, **settings)))
        return made[-1]

    yield make
    for rings in made:
        rings.close()


def on_cpu(cpu: int, emitter: Emitter, count: int) -> None:
    os.sched_setaffinity(0, {cpu})
    emitter.emit(count)


def drain(rings: PerfRings) -> list[SampleBatch]:
    """All that is there, copied, since a batch lasts until the next one."""
    found: list[SampleBatch] = []
    while (batch := rings.take()) is not None:
        found.append(
            SampleBatch(
                samples=batch.samples.copy(),
                mono_ns=batch.mono_ns.copy(),
                cpus=batch.cpus.copy(),
                wall_offset_ns=batch.wall_offset_ns,
                lost=batch.lost,
                misshapen=batch.misshapen,
            )
        )
    return found


def numbers(batches: list[SampleBatch]) -> NDArray[np.uint8]:
    return np.concatenate([batch.samples[:, 0] for batch in batches])


def counted(start: int, count: int) -> NDArray[np.uint8]:
    return (np.arange(start, start + count) % NUMBERS).astype(np.uint8)


def test_samples_come_whole_and_in_order_over_many_turns_of_a_small_ring(
    emitter: Emitter, open_rings: Open
) -> None:
    rings = open_rings(size_bytes=16 * PAGE)
    position = 0
    for count in itertools.islice(itertools.cycle([1, 7, 100, 250]), 60):
        on_cpu(CPUS[0], emitter, count)
        batches = drain(rings)
        np.testing.assert_array_equal(numbers(batches), counted(position, count))
        assert not any(batch.lost for batch in batches)
        position += count
    assert rings.statistics().samples == position


def test_cpus_are_merged_by_time(emitter: Emitter, open_rings: Open) -> None:
    if len(CPUS) < 2:
        pytest.skip("needs two CPUs")
    rings = open_rings(size_bytes=256 * PAGE, batch_rows=512)
    for _ in range(20):
        on_cpu(CPUS[0], emitter, 70)
        on_cpu(CPUS[1], emitter, 30)
    batches = drain(rings)

    times = np.concatenate([batch.mono_ns for batch in batches])
    cpus = np.concatenate([batch.cpus for batch in batches])
    assert (np.diff(times) >= 0).all()
    np.testing.assert_array_equal(cpus, np.tile(np.repeat(CPUS[:2], (70, 30)), 20))
    assert max(len(batch) for batch in batches) <= 1024
    assert rings.statistics().late == 0


@pytest.mark.parametrize("counts_lost", [True, False], ids=["by-count", "by-record"])
def test_overload_delivered_and_lost_are_all_that_was_written(
    emitter: Emitter, open_rings: Open, counts_lost: bool
) -> None:
    rings = open_rings(size_bytes=16 * PAGE)
    for ring in rings._rings:  # as on a kernel before 6.0
        ring.counts_lost &= counts_lost
    written = delivered = lost = 0
    for count in (50, 5_000, 10, 3_000, 1):
        on_cpu(CPUS[0], emitter, count)
        written += count
        for batch in drain(rings):
            delivered += len(batch)
            lost += sum(gap.count for gap in batch.lost)
    emitted = emitter.counts()
    assert emitted.written == written
    assert (delivered, lost) == (written - emitted.refused, emitted.refused)
    assert lost > 7_000


def test_what_follows_a_gap_is_whole(emitter: Emitter, open_rings: Open) -> None:
    rings = open_rings(size_bytes=16 * PAGE)
    on_cpu(CPUS[0], emitter, 1_000)
    first = drain(rings)
    on_cpu(CPUS[0], emitter, 100)
    np.testing.assert_array_equal(numbers(drain(rings)), counted(1_000, 100))

    kept = sum(len(batch) for batch in first)
    np.testing.assert_array_equal(numbers(first), counted(0, kept))
    gap = next(gap for batch in first for gap in batch.lost)
    assert (gap.cpu, gap.count) == (CPUS[0], 1_000 - kept)
    assert gap.first_mono_ns == first[-1].mono_ns[-1]
    assert gap.last_mono_ns > gap.first_mono_ns


def test_samples_of_another_size_are_passed_over_and_counted(
    events: int, emitter: Emitter, open_rings: Open
) -> None:
    rings = open_rings(size_bytes=16 * PAGE)
    with Emitter(np.full((1, 64), 7, np.uint8), events) as other:
        for own, foreign in ((5, 3), (0, 2), (4, 0), (0, 0)):
            on_cpu(CPUS[0], emitter, own)
            on_cpu(CPUS[0], other, foreign)
            batches = drain(rings)
            assert sum(len(batch) for batch in batches) == own
            assert sum(batch.misshapen for batch in batches) == foreign
            assert sum(batch.event_count for batch in batches) == own + foreign
    assert rings.statistics().lost == 0


def test_samples_wait_for_the_horizon(events: int, emitter: Emitter) -> None:
    now_ns = 0

    def install(cpu: int, fd: int) -> None:
        syscall.update(events, struct.pack("=i", cpu), struct.pack("=i", fd))

    rings = PerfRings(install=install, settings=RingSettings(settle_ns=1_000), clock=lambda: now_ns)
    on_cpu(CPUS[0], emitter, 3)
    assert rings.take() is None
    now_ns = 1 << 62
    batch = rings.take()
    assert batch is not None
    assert batch.samples[:, 0].tolist() == [0, 1, 2]
    rings.close()


async def test_the_last_samples_come_without_reaching_the_watermark(
    emitter: Emitter, open_rings: Open
) -> None:
    rings = open_rings(size_bytes=256 * PAGE)
    loop = asyncio.get_running_loop()
    async with aclosing(rings.batches()) as batches, asyncio.timeout(30):
        for start in range(3):
            loop.call_soon(on_cpu, CPUS[0], emitter, 2)
            batch = await anext(batches)
            assert batch.samples[:, 0].tolist() == [2 * start, 2 * start + 1]


@pytest.mark.parametrize(
    ("cpus", "size"), [(1, 8 << 20), (8, 8 << 20), (12, 4 << 20), (64, 1 << 20), (500, 512 << 10)]
)
def test_rings_are_bounded_together(cpus: int, size: int) -> None:
    assert ring_bytes(cpus) == size


async def test_who_watches_hears_of_silent_rings_too(open_rings: Open) -> None:
    rings = open_rings(size_bytes=16 * PAGE)
    watched = [True, True, False]
    horizons: list[int] = []

    async def read() -> None:
        async with aclosing(
            rings.batches(is_watched=lambda: bool(watched and watched.pop()))
        ) as found:
            async for batch in found:
                assert not len(batch)
                assert batch.horizon_mono_ns is not None
                horizons.append(batch.horizon_mono_ns)
                if len(horizons) == 2:
                    return

    began_ns = time.monotonic_ns()
    async with asyncio.timeout(10):
        await read()
    assert began_ns <= horizons[0] < horizons[1] <= time.monotonic_ns()
    assert rings.statistics().batches == 0


def test_nothing_comes_before_the_horizon(emitter: Emitter, open_rings: Open) -> None:
    rings = open_rings(size_bytes=256 * PAGE, batch_rows=256)
    horizon_ns = 0
    for number in range(30):
        on_cpu(CPUS[number % len(CPUS)], emitter, 100)
        batch = rings.take()
        while batch is not None:
            assert int(batch.mono_ns[0]) >= horizon_ns
            assert batch.horizon_mono_ns is not None
            horizon_ns = max(horizon_ns, batch.horizon_mono_ns)
            batch = rings.take()
