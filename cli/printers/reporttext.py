"""What nodes lost and what is wrong with them, as text: two lines at most, or tables.

A server that lost nothing and has no problem adds nothing to `hubble status`: who never saw these
lines sees what Hubble prints.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from cli.flags.values import duration_text
from cli.printers.color import palette
from cli.printers.grid import grid
from cli.times import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from api.proto.leavitt.node_pb2 import NodeReport

MISSING: Final = "N/A"


def report_lines(report: NodeReport) -> str:
    """Write one line if something was lost, and one if something is wrong; else nothing."""
    lines = []
    total = sum(loss.count for loss in report.losses)
    if total:
        stages: Counter[str] = Counter()
        for loss in report.losses:
            stages[loss.stage] += loss.count
        parts = [f"{stage} {count:,}" for stage, count in stages.items() if count]
        lines.append(f"Lost: {total:,} ({', '.join(parts)})\n")
    if report.problem_count:
        lines.append(f"Problems: {report.problem_count:,} (see hubble status -v)\n")
    return _safe("".join(lines))


def report_tables(report: NodeReport, now_ns: int) -> str:
    """Write all that nodes tell: each node, its losses, its problems, with an empty line before."""
    nodes = sorted(report.nodes or [report], key=lambda node: node.node_name)
    parts = [_nodes(nodes), _losses(nodes, now_ns), _problems(nodes, now_ns)]
    left_out = report.nodes_left_out
    if left_out:
        parts.append(f"and {left_out:,} more nodes\n")
    return "".join(f"\n{part}" for part in parts if part)


def _nodes(nodes: Sequence[NodeReport]) -> str:
    heads = ["NODE", "MODE", "ATTACH", "UPTIME", "FLOWS", "SPAN", "READERS", "WORST-LAG", "PODS"]
    return _table([[*heads, "BATCHES"], *map(_node, nodes)])


def _node(node: NodeReport) -> list[str]:
    if node.error:
        return [node.node_name, *[MISSING] * 8, node.error]
    table = node.table
    return [
        node.node_name,
        node.mode or MISSING,
        node.attach or "-",
        _duration(node.uptime),
        f"{table.rows:,}/{table.capacity:,}",
        _duration(table.span) if table.HasField("span") else "-",
        f"{node.readers.count:,}",
        f"{node.readers.worst_lag_rows:,}",
        f"{node.pods:,}",
        f"{node.batches:,}",
    ]


def _losses(nodes: Iterable[NodeReport], now_ns: int) -> str:
    rows = [
        [
            node.node_name,
            loss.stage,
            loss.reason,
            f"{loss.count:,}",
            _ago(loss.first_time, now_ns) if loss.HasField("first_time") else MISSING,
            _ago(loss.last_time, now_ns) if loss.HasField("last_time") else MISSING,
        ]
        for node in nodes
        for loss in node.losses
    ]
    return _table([["NODE", "LOST-AT", "REASON", "LOST", "FIRST", "LAST"], *rows]) if rows else ""


def _problems(nodes: Iterable[NodeReport], now_ns: int) -> str:
    rows = []
    for node in nodes:
        for problem in node.problems:
            about = " ".join(filter(None, (problem.kind, problem.object)))
            since = _age(problem.since, now_ns) if problem.HasField("since") else MISSING
            rows.append([node.node_name, since, about, problem.text])
        missing = node.problem_count - len(node.problems)
        if missing > 0:
            rows.append([node.node_name, "", "", f"and {missing:,} more"])
    return _table([["NODE", "FOR", "PROBLEM-WITH", "PROBLEM"], *rows]) if rows else ""


def _duration(duration: Duration) -> str:
    return duration_text(max(duration.ToNanoseconds(), 0) // SECOND_NS * SECOND_NS)


def _age(moment: Timestamp, now_ns: int) -> str:
    # Clocks of two machines: what just happened may lie ahead.
    return duration_text(max(now_ns - moment.ToNanoseconds(), 0) // SECOND_NS * SECOND_NS)


def _ago(moment: Timestamp, now_ns: int) -> str:
    return f"{_age(moment, now_ns)} ago"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Align cells; what nodes wrote stays on its line and paints nothing."""
    return grid([[_safe(" ".join(cell.split())) for cell in row] for row in rows])


def _safe(text: str) -> str:
    return palette(colored=False).neutralise(text)
