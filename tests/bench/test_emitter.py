import os
from collections.abc import Iterator

import numpy as np
import pytest

from bench.emitter import Emitted, Emitter, create_map, create_perf_map
from observer.kernel import abi, syscall
from observer.kernel.counters import read_named
from observer.kernel.datapath import possible_cpus
from observer.kernel.rings import PerfRings
from observer.samples import SAMPLE_BYTES

pytestmark = pytest.mark.kernel


@pytest.fixture
def events_fd() -> Iterator[int]:
    fd = create_perf_map()
    yield fd
    os.close(fd)


@pytest.fixture
def rings(events_fd: int) -> Iterator[PerfRings]:
    def install(cpu: int, fd: int) -> None:
        syscall.update(events_fd, cpu.to_bytes(4, "little"), fd.to_bytes(4, "little"))

    # a clock that is ahead: everything has settled
    rings = PerfRings(install=install, clock=lambda: 1 << 62)
    yield rings
    rings.close()


def numbered(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    samples = np.zeros((count, SAMPLE_BYTES), np.uint8)
    samples[:, :2] = np.arange(count, dtype="<u2").view(np.uint8).reshape(-1, 2)
    return samples


def test_writes_the_samples_round_and_round(events_fd: int, rings: PerfRings) -> None:
    samples = numbered(256)
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(pinned)})
    try:
        with Emitter(samples, events_fd) as emitter:
            emitter.emit(300)
            emitter.emit(0)
            emitter.emit(1)
            assert emitter.counts() == Emitted(written=301, refused=0)
    finally:
        os.sched_setaffinity(0, pinned)
    batch = rings.take()
    assert batch is not None
    np.testing.assert_array_equal(batch.samples, samples[np.arange(301) % 256])


def test_counts_what_nobody_reads(events_fd: int) -> None:
    with Emitter(numbered(2), events_fd) as emitter:
        emitter.emit(5)
        assert emitter.counts() == Emitted(written=5, refused=5)


def test_counts_at_the_node_too(events_fd: int) -> None:
    layout = abi.layouts()["counters"]
    counters_fd = create_map(6, 8, len(layout.names or {}))  # BPF_MAP_TYPE_PERCPU_ARRAY
    try:
        with Emitter(numbered(2), events_fd, counters_fd) as emitter:
            emitter.emit(5)
        found = read_named(counters_fd, layout, cpus=possible_cpus())
    finally:
        os.close(counters_fd)
    expected = {"produced_trace": 5, "unread_trace": 5}
    assert {name: count for name, count in found.items() if count} == expected
