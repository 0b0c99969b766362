"""Memory: bytes per flow of a full table with all that hangs on it, and an idle server's costs.

Two servers know the same cluster: one has seen a few flows, the other plays a recording that is
longer than the table and then serves whole-table reads and filters, which fill every cache there
is. The difference of their private memory, divided by the rows, is what a flow costs. Pages
of the recording itself are the file's and do not count. And a million pods come and go: what is
kept of them must be what the table shows.
"""

import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from api.proto.observer import observer_pb2
from bench import churn
from bench.clients import read_grpcio, read_raw
from bench.ingest_node import CAPACITY, SEED
from bench.lines.filters import check, label_question, rare_label_sets, verdict_question
from bench.measurement import Budget, Conditions, Measurement
from bench.node import Node, replaying
from bench.processes import Usage
from bench.recorded import record
from bench.workload import SyntheticNode

_LINE: Final = "memory"
_SAMPLES: Final = 4_096 * 48
"""Three tables: rows were overwritten, entries of interned values came and went."""
_SAMPLES_OF_IDLE: Final = 64
"""What a recording tells of a cluster takes effect with the next samples: with none the idle
server would not know its pods, and they would be counted as flows' memory."""
_QUESTIONS: Final = 20
_PER_FLOW_BYTES: Final = 300.0
_IDLE_MB: Final = 80.0
_IDLE_CPU_PERCENT: Final = 1.0
_PODS: Final = 1_000_000
_QUICK_PODS: Final = 50_000
_GROWTH_MB: Final = 5.0
"""Less than a hundredth of what the pods would take if they stayed."""


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Bytes a flow; megabytes and CPU of an idle server."""
    empty = record(conditions.folder / "empty.rec", samples=_SAMPLES_OF_IDLE)
    full = record(conditions.folder / "full.rec", samples=_SAMPLES)
    idle = [_idle(empty.path, conditions.repeats(5)) for _ in range(conditions.repeats(3))]
    filled = [_filled(full.path) for _ in range(conditions.repeats(3))]
    base = statistics.median(usage.private_bytes for usage, _ in idle)
    yield Measurement(
        line=_LINE,
        what="a flow in a full table",
        unit="B",
        values=tuple((usage.private_bytes - base) / CAPACITY for usage in filled),
        budget=Budget(limit=_PER_FLOW_BYTES, ceiling=True),
        note=f"after GetFlows and {_QUESTIONS} filters, caches and interned values included",
    )
    yield Measurement(
        line=_LINE,
        what="idle server, resident",
        unit="MB",
        values=tuple(usage.resident_bytes / 1e6 for usage, _ in idle),
        budget=Budget(limit=_IDLE_MB, ceiling=True),
        note="knows 1,000 pods; without perf rings, which are the kernel's memory",
    )
    yield Measurement(
        line=_LINE,
        what="idle server, CPU",
        unit="%",
        values=tuple(percent for _, percent in idle),
        budget=Budget(limit=_IDLE_CPU_PERCENT, ceiling=True),
    )
    pods = _QUICK_PODS if conditions.quick else _PODS
    yield Measurement(
        line=_LINE,
        what=f"{pods:,} pods through {churn.CAPACITY:,} rows, growth",
        unit="MB",
        values=(churn.growth_bytes(pods) / 1e6,),
        budget=Budget(limit=_GROWTH_MB, ceiling=True),
        note="of private memory over the last nine tenths of them",
    )


def _idle(recording: Path, seconds: float) -> tuple[Usage, float]:
    """Leave a server alone: its memory, and its CPU in percent of a core."""
    with replaying(recording) as node:
        time.sleep(1)  # start-up's own work is over
        before, started = node.usage(), time.monotonic()
        time.sleep(seconds)
        after, ended = node.usage(), time.monotonic()
    return after, (after.cpu_s - before.cpu_s) / (ended - started) * 100


def _filled(recording: Path) -> Usage:
    with replaying(recording) as node:
        _use(node)
        return node.usage()


def _use(node: Node) -> None:
    request = observer_pb2.GetFlowsRequest(number=CAPACITY)
    for read in (read_raw, read_grpcio):
        read(node.target, request)
    labels = random.Random(SEED)  # noqa: S311 - picks selectors
    rare = rare_label_sets(SyntheticNode(SEED))
    check(node, verdict_question())
    for _ in range(_QUESTIONS):
        check(node, label_question(labels, rare))
