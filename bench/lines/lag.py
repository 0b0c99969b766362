"""Loop lag: how late the server gets to something that comes while it is as busy as it may be.

500,000 events a second arrive through the real rings, four clients read the whole table over and
over, and a status is asked for every second. The lag is taken inside the server's loop by a
kernel timer (see `bench.lag_meter`), not guessed from calls, whose time holds the caller's own
waiting for a CPU. The server has one CPU, all others share another one, so that what is seen are
the steps of its loop; what else runs on the machine is in the figure. Not to be taken in a
real-time class: the kernel takes 50 ms of every second from who is always busy in one. Needs root
and two CPUs.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.cluster import Numbers
from bench.emission import Emission, Run, emitting
from bench.errors import NotMeasurableError, WrongAnswerError
from bench.follower import Counter
from bench.http2 import RawConnection
from bench.ingest_node import CAPACITY, SEED
from bench.lag_meter import quantile_ms, read_counts
from bench.live import live
from bench.measurement import Budget, Conditions, Measurement
from bench.node import Node
from bench.recorded import renumber
from bench.workload import Mix, SyntheticNode

_LINE: Final = "lag"
_SAMPLES: Final = 16_384
_PER_SECOND: Final = 500_000
_CLIENTS: Final = 4
_RUN_S: Final = 5
_QUICK_RUN_S: Final = 2
_BUDGET_MS: Final = 2.0
_TAIL: Final = 0.99
_LONGEST_S: Final = 3_600.0
_START_S: Final = 20.0
_LOOK_S: Final = 0.05
_STATUS_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """What one run came to."""

    p99_ms: float
    median_ms: float
    most_ms: float
    run: Run
    tables: int
    """Whole tables that the clients got meanwhile."""


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Milliseconds of lag that one expiry in a hundred exceeds."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotMeasurableError("needs two CPUs: one for the server, one for all others")
    seconds = _QUICK_RUN_S if conditions.quick else _RUN_S
    counts = conditions.folder / "lag"
    with ExitStack() as opened:
        opened.enter_context(_on_cpu(cpus[1]))
        server = (sys.executable, "-m", "bench.metered_server", counts)
        node, ring_map = opened.enter_context(live(conditions.folder, server=server))
        os.sched_setaffinity(node.pid, {cpus[0]})
        samples = _samples(conditions.folder / "samples")
        emission = opened.enter_context(emitting(samples, ring_map))
        emission.emit(2 * CAPACITY, _PER_SECOND // 5)
        tables = opened.enter_context(_clients(node.target))
        runs = [
            _busy(node, emission, tables, counts, seconds) for _ in range(conditions.repeats(5))
        ]
    yield Measurement(
        line=_LINE,
        what="loop lag, p99",
        unit="ms",
        values=tuple(each.p99_ms for each in runs),
        budget=Budget(limit=_BUDGET_MS, ceiling=True),
        note=_note(runs),
    )


def _note(runs: list[Busy]) -> str:
    written = sum(each.run.emitted.written for each in runs)
    refused = sum(each.run.emitted.refused for each in runs)
    per_second = min(each.run.per_second for each in runs)
    tables = sum(each.tables for each in runs)
    return (
        f"at {per_second / 1e3:.0f} k events/s, {refused / written:.2%} lost in the rings; "
        f"{tables} whole tables read; median {max(each.median_ms for each in runs):.2f} ms, "
        f"most {max(each.most_ms for each in runs):.1f} ms"
    )


def _busy(node: Node, emission: Emission, tables: Counter, counts: Path, seconds: int) -> Busy:
    """Emit for so long, and ask for the status every second meanwhile."""
    before, tables_before = read_counts(counts), tables.value
    with ThreadPoolExecutor(max_workers=1) as worker:
        running = worker.submit(emission.emit, seconds * _PER_SECOND, _PER_SECOND)
        while not running.done():
            node.status()
            time.sleep(_STATUS_S)
    spent, read = read_counts(counts) - before, tables.value - tables_before
    if not read:
        raise WrongAnswerError(f"lag: no client got a whole table in {seconds} s")
    return Busy(
        p99_ms=quantile_ms(spent, _TAIL),
        median_ms=quantile_ms(spent, 0.5),
        most_ms=quantile_ms(spent, 1.0),
        run=running.result(),
        tables=read,
    )


@contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """Let this process, and those that it starts, have one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _clients(target: str) -> Iterator[Counter]:
    """Start the readers of whole tables: how many tables they have got so far.

    Raises:
        WrongAnswerError: they get none.
    """
    context = multiprocessing.get_context("spawn")
    tables: Counter = context.Value("Q", 0)
    processes = [
        context.Process(target=_read_tables, args=(target, tables), daemon=True)
        for _ in range(_CLIENTS)
    ]
    try:
        for process in processes:
            process.start()
        deadline = time.monotonic() + _START_S
        while tables.value < _CLIENTS:
            if time.monotonic() > deadline or not all(each.is_alive() for each in processes):
                raise WrongAnswerError(f"lag: {tables.value} tables read by {_CLIENTS} clients")
            time.sleep(_LOOK_S)
        yield tables
    finally:
        for process in processes:
            process.kill()
            process.join()


def _read_tables(target: str, tables: Counter) -> None:
    """Read the whole table again and again; does not return while the server lives."""
    request = observer_pb2.GetFlowsRequest(number=CAPACITY).SerializeToString()
    with RawConnection(target, timeout_s=_LONGEST_S) as connection:
        while True:
            connection.call(GET_FLOWS, request, sink=lambda _payloads: None)
            with tables.get_lock():
                tables.value += 1


def _samples(path: Path) -> Path:
    source = SyntheticNode(SEED, Mix(odd_share=0.0))
    batch = source.batch(_SAMPLES)
    renumber(batch, Numbers.of(source))
    path.write_bytes(batch.samples.tobytes())
    return path
