"""What a node says of itself beyond Hubble's API: losses, problems, how far back it remembers.

In: the ledger, the table, who reads it, and, of a node that is live or replayed, what it was told
to watch. Out: leavitt.NodeReport. Its size is bounded, whatever is wrong. `hubble status` and the
relay ask for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.leavitt import node_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.lane.call import Call
    from observer.ledger import Ledger
    from observer.ledger import Loss as Lost
    from observer.pipeline import Pipeline
    from observer.readers import Readers
    from observer.table.ring import FlowTable
    from server.problems import Problem

MOST_PROBLEMS: Final = 100
MOST_LETTERS: Final = 500
"""Of each text of a problem; a name in Kubernetes is half as long at most."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is known only while a node runs."""

    mode: str
    """`enforce`, `observe` or `replay`."""
    attach: str = ""
    """How programs are on interfaces; empty for none."""
    pods: Callable[[], int]
    problems: Callable[[], Sequence[Problem]]


class NodeService:
    """Implements leavitt.Node; give it to `api.lane.service.service_methods`."""

    def __init__(
        self,
        *,
        node_name: str,
        table: FlowTable,
        ledger: Ledger,
        pipeline: Pipeline,
        readers: Readers,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take what a node has from the start; `clock_ns` measures how long it runs."""
        self._node_name = node_name
        self._table = table
        self._ledger = ledger
        self._pipeline = pipeline
        self._readers = readers
        self._clock_ns = clock_ns
        self._started_ns = clock_ns()
        self._watched: Watched | None = None

    def watch(self, watched: Watched) -> None:
        """Learn what else to tell of."""
        self._watched = watched

    async def report(self, _call: Call, _request: pb.ReportRequest) -> pb.NodeReport:
        """Tell the state of this node."""
        readers = self._readers.statistics(self._table.head)
        report = pb.NodeReport(
            node_name=self._node_name,
            uptime=_duration(self._clock_ns() - self._started_ns),
            losses=map(_loss, self._ledger.losses()),
            table=self._table_report(),
            readers=pb.ReaderReport(count=readers.count, worst_lag_rows=readers.worst_lag_rows),
            batches=self._pipeline.batch_count,
        )
        watched = self._watched
        if watched is not None:
            problems = watched.problems()
            report.mode, report.attach, report.pods = watched.mode, watched.attach, watched.pods()
            report.problem_count = len(problems)
            report.problems.extend(map(_problem, islice(problems, MOST_PROBLEMS)))
        return report

    def _table_report(self) -> pb.TableReport:
        statistics = self._table.statistics()
        report = pb.TableReport(rows=statistics.rows, capacity=statistics.capacity)
        if statistics.oldest_ns is not None:
            newest = (self._table.head - 1) & self._table.capacity
            newest_ns = int(self._table.columns["time_ns"][newest])
            report.oldest_time.CopyFrom(_timestamp(statistics.oldest_ns))
            report.span.CopyFrom(_duration(newest_ns - statistics.oldest_ns))
        return report


def _loss(loss: Lost) -> pb.Loss:
    return pb.Loss(
        stage=loss.stage,
        reason=loss.reason,
        count=loss.count,
        first_time=_timestamp(loss.first_ns),
        last_time=_timestamp(loss.last_ns),
    )


def _problem(problem: Problem) -> pb.Problem:
    kind, _, which = problem.about.partition(" ")
    return pb.Problem(
        kind=kind[:MOST_LETTERS],
        object=which[:MOST_LETTERS],
        text=problem.reason[:MOST_LETTERS],
        since=_timestamp(problem.since_ns),
    )


def _timestamp(time_ns: int) -> Timestamp:
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def _duration(time_ns: int) -> Duration:
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    return Duration(seconds=seconds, nanos=nanos)
