"""Reports of several nodes as one, and each of them."""

from pathlib import Path

from google.protobuf import json_format

from api.lane.status import Code, RpcError
from api.proto.leavitt.node_pb2 import NodeReport, ReportRequest
from relay.report_service import MOST_NODES, MOST_PROBLEMS, _bounded
from tests.relay.bed import Bed, bed

FIRST = {
    "node_name": "default/a",
    "uptime": "5s",
    "mode": "enforce",
    "losses": [
        {
            "stage": "ring", "reason": "full", "count": 1000,
            "first_time": "2026-03-04T05:00:00Z", "last_time": "2026-03-04T05:00:09Z",
        },
        {
            "stage": "reader", "reason": "overtaken", "count": 34,
            "first_time": "2026-03-04T05:00:00Z", "last_time": "2026-03-04T05:00:00Z",
        },
    ],
    "table": {
        "rows": 10, "capacity": 63, "oldest_time": "2026-03-04T05:00:00Z", "span": "60s",
    },
    "readers": {"count": 1, "worst_lag_rows": 5},
    "pods": 3,
    "batches": 8,
}  # fmt: skip
SECOND = {
    "losses": [
        {
            "stage": "ring", "reason": "full", "count": 200,
            "first_time": "2026-03-04T04:00:00Z", "last_time": "2026-03-04T05:00:05Z",
        },
    ],
    "problems": [{"kind": "Pod", "object": "default/xwing", "text": "taken"}],
    "problem_count": 101,
    "table": {
        "rows": 20, "capacity": 63, "oldest_time": "2026-03-04T05:00:30Z", "span": "30s",
    },
    "readers": {"count": 2, "worst_lag_rows": 2},
    "pods": 1,
    "batches": 2,
}  # fmt: skip


def read(document: dict[str, object]) -> NodeReport:
    return json_format.ParseDict(document, NodeReport())


async def report(made: Bed, *, per_node: bool) -> NodeReport:
    return await made.channel.unary(
        "/leavitt.Node/Report", ReportRequest(per_node=per_node), NodeReport
    )


async def test_reports_add_up(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c") as made:
        made.nodes[0].report_told, made.nodes[1].report_told = read(SECOND), read(FIRST)
        found = await report(made, per_node=False)
    assert json_format.MessageToDict(found, preserving_proto_field_name=True) == {
        "node_name": "relay",
        "losses": [
            {
                "stage": "ring", "reason": "full", "count": "1200",
                "first_time": "2026-03-04T04:00:00Z", "last_time": "2026-03-04T05:00:09Z",
            },
            {
                "stage": "reader", "reason": "overtaken", "count": "34",
                "first_time": "2026-03-04T05:00:00Z", "last_time": "2026-03-04T05:00:00Z",
            },
        ],
        "problem_count": "101",
        "table": {
            "rows": "30", "capacity": "126", "oldest_time": "2026-03-04T05:00:30Z", "span": "30s",
        },
        "readers": {"count": 3, "worst_lag_rows": "5"},
        "pods": 4,
        "batches": "10",
    }  # fmt: skip


async def test_each_node_by_itself_those_with_losses_first(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c", "d") as made:
        made.nodes[1].report_told = read(FIRST)
        made.nodes[3].report_told = NodeReport(node_name="d", pods=1)
        await made.nodes[2].stop()
        await made.connected("a", "b", "d")
        found = await report(made, per_node=True)
    told = {each.node_name: each for each in found.nodes}
    assert list(told) == ["b", "a", "c", "d"]
    assert told["b"].losses == read(FIRST).losses
    assert "code = Unimplemented" in told["a"].error
    assert "code = Unavailable" in told["c"].error
    assert (told["d"].pods, told["d"].error) == (1, "")
    assert found.nodes_left_out == 0


async def test_a_node_that_refuses_says_why(tmp_path: Path) -> None:
    async with bed(tmp_path, "a") as made:
        made.nodes[0].report_refusal = RpcError(Code.INTERNAL, "broken")
        [told] = (await report(made, per_node=True)).nodes
    assert told.error == "rpc error: code = Internal desc = broken"


def test_an_answer_has_an_end() -> None:
    reports = [NodeReport(node_name=f"calm-{number}") for number in range(MOST_NODES)]
    troubled = SECOND | {"problems": [{"text": str(number)} for number in range(400)]}
    reports += [read(troubled), read(troubled)]
    shown = _bounded(reports)
    assert len(shown) == MOST_NODES
    assert [len(each.problems) for each in shown[:3]] == [400, MOST_PROBLEMS - 400, 0]
