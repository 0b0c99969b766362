"""leavitt.Node of the relay: the reports of all nodes, put together.

Losses add up by stage and reason; problems stay the nodes' own, and are told with `per_node`. Nodes
that say nothing, since they are down or not ours, say why. The
answer is bounded, however many nodes there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.proto.leavitt import node_pb2 as pb
from observer.ledger import Stage
from relay.answers import ask_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from api.lane.call import Call
    from relay.answers import Answer
    from relay.nodes.pool import NodePool

_REPORT: Final = "/leavitt.Node/Report"
_FIRST_TRY_S: Final = 1.0
_STAGES: Final = {str(stage): number for number, stage in enumerate(Stage)}
MOST_NODES: Final = 500
MOST_PROBLEMS: Final = 500
"""Of all nodes together, with their texts."""


class ReportService:
    """Implements leavitt.Node; give it to `api.lane.service.service_methods`."""

    def __init__(self, pool: NodePool, *, node_name: str) -> None:
        self._pool = pool
        self._node_name = node_name

    async def report(self, _call: Call, request: pb.ReportRequest) -> pb.NodeReport:
        """Ask all nodes; takes four seconds at most, whoever does not answer."""
        await self._pool.tried(longest_s=_FIRST_TRY_S)
        answers = await ask_all(self._pool, _REPORT, pb.ReportRequest(), pb.NodeReport)
        reports = [_named(answer) for answer in answers]
        total = pb.NodeReport(
            node_name=self._node_name,
            losses=_summed(reports),
            problem_count=sum(report.problem_count for report in reports),
            table=_tables(reports),
            readers=pb.ReaderReport(
                count=sum(report.readers.count for report in reports),
                worst_lag_rows=max(
                    (report.readers.worst_lag_rows for report in reports), default=0
                ),
            ),
            pods=sum(report.pods for report in reports),
            batches=sum(report.batches for report in reports),
        )
        if request.per_node:
            shown = _bounded(reports)
            total.nodes.extend(shown)
            total.nodes_left_out = len(reports) - len(shown)
        return total


def _named(answer: Answer[pb.NodeReport]) -> pb.NodeReport:
    """Return what a node said, under the name by which the relay knows it."""
    if answer.message is None:
        return pb.NodeReport(node_name=answer.link.name, error=str(answer.error or "no answer"))
    answer.message.node_name = answer.link.name
    return answer.message


def _summed(reports: Iterable[pb.NodeReport]) -> list[pb.Loss]:
    """Add losses up, in the order of the stages, then by reason, as each node tells them."""
    found: dict[tuple[str, str], pb.Loss] = {}
    for loss in (loss for report in reports for loss in report.losses):
        total = found.setdefault((loss.stage, loss.reason), pb.Loss(stage=loss.stage))
        if not total.count:
            total.CopyFrom(loss)
            continue
        total.count += loss.count
        if loss.first_time.ToNanoseconds() < total.first_time.ToNanoseconds():
            total.first_time.CopyFrom(loss.first_time)
        if loss.last_time.ToNanoseconds() > total.last_time.ToNanoseconds():
            total.last_time.CopyFrom(loss.last_time)
    return sorted(
        found.values(), key=lambda loss: (_STAGES.get(loss.stage, len(_STAGES)), loss.reason)
    )


def _tables(reports: Iterable[pb.NodeReport]) -> pb.TableReport:
    """Put tables together: what all hold, and the span that each of them holds."""
    tables = [report.table for report in reports if not report.error]
    total = pb.TableReport(
        rows=sum(table.rows for table in tables), capacity=sum(table.capacity for table in tables)
    )
    filled = [table for table in tables if table.rows]
    if filled:
        youngest = max(filled, key=lambda table: table.oldest_time.ToNanoseconds())
        total.oldest_time.CopyFrom(youngest.oldest_time)
        shortest_ns = min(table.span.ToNanoseconds() for table in filled)
        total.span.FromNanoseconds(shortest_ns)
    return total


def _bounded(reports: Sequence[pb.NodeReport]) -> list[pb.NodeReport]:
    """Return as many as there is room for, and so many of their problems."""
    told = sorted(reports, key=lambda report: not (report.losses or report.problem_count))
    room = MOST_PROBLEMS
    for report in told[:MOST_NODES]:
        del report.problems[room:]
        room -= len(report.problems)
    return told[:MOST_NODES]
