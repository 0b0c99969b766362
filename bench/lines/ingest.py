"""Ingest: what one event costs from the perf ring to a row that can be queried, on one core.

The recorded mix is written to real perf rings by a BPF program, a burst at a time, and read by
this thread: ring read, decode, enrich and append. Its CPU time is what counts, so neither the
emitter nor others on the machine are in it. Afterwards the table is filled once more, untimed,
and 1,000 random rows are compared with their packets.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from bench.emitter import Emitter, create_perf_map
from bench.errors import WrongAnswerError
from bench.expected import Expected
from bench.ingest_node import CAPACITY, SEED, IngestNode
from bench.measurement import Budget, Conditions, Measurement
from bench.reference import of_row
from bench.workload import SyntheticNode
from observer.kernel import syscall
from observer.kernel.rings import PerfRings
from observer.ledger import Stage
from observer.samples import SampleBatch

_BURST: Final = 16_384
_BURSTS_PER_REPEAT: Final = 8
_CHECKED_ROWS: Final = 1_000
_SETTLE_S: Final = 0.002
_BUDGET_M_PER_S: Final = 2.0
_LINE: Final = "ingest"

Take = Callable[[], SampleBatch | None]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Events per second of CPU time: from memory, then from the rings (needs root)."""
    repeats = conditions.repeats(10, quick=2)
    source = SyntheticNode(SEED)
    yield Measurement(
        line=_LINE,
        what="decode + enrich + append",
        unit="M/s",
        values=tuple(_from_memory(source, repeats)),
        note="batches of 4,096 from memory: without the ring read",
    )
    events_fd = create_perf_map()
    try:
        with Emitter(source.batch(_BURST).samples, events_fd) as emitter:
            yield Measurement(
                line=_LINE,
                what="sample -> queryable row",
                unit="M/s",
                values=tuple(_from_rings(source, emitter, events_fd, repeats)),
                budget=Budget(limit=_BUDGET_M_PER_S, ceiling=False),
            )
    finally:
        os.close(events_fd)


def _from_memory(source: SyntheticNode, repeats: int) -> Iterator[float]:
    node = IngestNode.of(source)
    batches = [source.batch(4_096) for _ in range(_BURST // 4_096)]
    for batch in batches:
        node.pipeline.feed(batch)
    for _ in range(repeats):
        started_ns = time.thread_time_ns()
        for _ in range(_BURSTS_PER_REPEAT):
            for batch in batches:
                node.pipeline.feed(batch)
        spent_ns = time.thread_time_ns() - started_ns
        yield _BURSTS_PER_REPEAT * _BURST / spent_ns * 1e3


def _from_rings(
    source: SyntheticNode, emitter: Emitter, events_fd: int, repeats: int
) -> Iterator[float]:
    def install(cpu: int, fd: int) -> None:
        syscall.update(events_fd, cpu.to_bytes(4, "little"), fd.to_bytes(4, "little"))

    node = IngestNode.of(source)
    rings = PerfRings(install=install)
    try:
        _burst(node, rings.take, emitter)
        for _ in range(repeats):
            spent_ns = sum(_burst(node, rings.take, emitter) for _ in range(_BURSTS_PER_REPEAT))
            yield _BURSTS_PER_REPEAT * _BURST / spent_ns * 1e3
        _check_rows(node, rings.take, emitter)
        _check_counts(node, emitter)
    finally:
        rings.close()


def _burst(node: IngestNode, take: Take, emitter: Emitter) -> int:
    """Emit, wait until it has settled, read it all: CPU time of the reading, ns."""
    emitter.emit(_BURST)
    time.sleep(_SETTLE_S)
    started_ns = time.thread_time_ns()
    while (batch := take()) is not None:
        node.pipeline.feed(batch)
    return time.thread_time_ns() - started_ns


def _check_rows(node: IngestNode, take: Take, emitter: Emitter) -> None:
    """Fill the table with known packets and compare some of its rows with them."""
    kept: list[SampleBatch] = []

    def take_and_keep() -> SampleBatch | None:
        batch = take()
        if batch is not None:
            kept.append(_copy(batch))
        return batch

    table, first = node.table, node.table.head
    while table.head - first < CAPACITY:
        _burst(node, take_and_keep, emitter)
    expected = Expected(kept)
    rows = random.Random(SEED).sample(range(table.oldest, table.head), _CHECKED_ROWS)  # noqa: S311 - picks rows
    for position, slot in zip(rows, table.slots(np.array(rows, np.int64)).tolist(), strict=True):
        time_ns = int(table.columns["time_ns"][slot])
        expected.check_packet(f"row {position}", time_ns, of_row(table.columns, slot))


def _check_counts(node: IngestNode, emitter: Emitter) -> None:
    counts = emitter.counts()
    skipped = node.ledger.total(Stage.DECODE)
    if counts.refused or node.table.head + skipped != counts.written:
        raise WrongAnswerError(
            f"ingest: {counts.written} written, {counts.refused} refused, "
            f"{node.table.head} rows, {skipped} undecodable"
        )


def _copy(batch: SampleBatch) -> SampleBatch:
    return SampleBatch(
        samples=batch.samples.copy(),
        mono_ns=batch.mono_ns.copy(),
        cpus=batch.cpus.copy(),
        wall_offset_ns=batch.wall_offset_ns,
        lost=batch.lost,
    )
