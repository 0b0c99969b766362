"""`hubble status`: what was lost and what is wrong, against a server in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format

from api.lane.status import Code, RpcError
from api.proto.leavitt.node_pb2 import NodeReport
from api.proto.leavitt.relay_pb2 import NodeStatusResponse
from api.proto.observer.observer_pb2 import (
    ServerStatusResponse,
)
from tests.cli.commands.status_bed import KNOWN, NODE, VERBOSE, hubble_line, status_of

if TYPE_CHECKING:
    from tests.cli.conftest import Hubble, Screen

LOST = {
    "node_name": "lab-1", "uptime": "3723.9s", "mode": "enforce", "attach": "tcx",
    "losses": [
        {
            "stage": "ring", "reason": "perf ring full", "count": 1200,
            "first_time": "2026-03-04T04:06:07Z", "last_time": "2026-03-04T05:06:05Z",
        },
        {"stage": "reader", "reason": "overtaken", "count": 30},
        {"stage": "reader", "reason": "slow\n\x1b[31mred", "count": 4},
    ],
    "problems": [
        {
            "kind": "Pod", "object": "default/xwing", "since": "2026-03-04T05:01:07Z",
            "text": "its address is already that of Pod default/tiefighter: 10.0.0.1",
        },
        {"kind": "cluster", "text": "too many\x1b[31m"},
    ],
    "problem_count": 3,
    "table": {
        "rows": 4095, "capacity": 4095, "oldest_time": "2026-03-04T05:00:00Z", "span": "66.5s",
    },
    "readers": {"count": 2, "worst_lag_rows": 1234},
    "pods": 5,
    "batches": 4567,
}  # fmt: skip
SHORT = """\
Lost: 1,234 (ring 1,200, reader 34)
Problems: 3 (see hubble status -v)
"""
TABLES = """\

NODE    MODE      ATTACH   UPTIME   FLOWS         SPAN   READERS   WORST-LAG   PODS   BATCHES
lab-1   enforce   tcx      1h2m3s   4,095/4,095   1m6s   2         1,234       5      4,567

NODE    LOST-AT   REASON           LOST    FIRST        LAST
lab-1   ring      perf ring full   1,200   1h0m0s ago   2s ago
lab-1   reader    overtaken        30      N/A          N/A
lab-1   reader    slow ^[[31mred   4       N/A          N/A

NODE    FOR    PROBLEM-WITH        PROBLEM
lab-1   5m0s   Pod default/xwing   its address is already that of Pod default/tiefighter: 10.0.0.1
lab-1   N/A    cluster             too many^[[31m
lab-1                              and 1 more
"""


def _report(fields: dict[str, object]) -> NodeReport:
    return json_format.ParseDict(fields, NodeReport())


async def test_losses_and_problems_are_two_lines(hubble: Hubble, screen: Screen) -> None:
    hubble.status, hubble.told = status_of(NODE), _report(LOST)
    assert await hubble_line(screen, hubble, "status") == 0
    assert screen.out.endswith(f"Flows/s: 22.86\n{SHORT}")
    assert (screen.err, hubble.per_node) == ("", [False])


async def test_a_server_without_losses_adds_nothing(hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(NODE)
    hubble.told = _report(LOST | {"losses": [], "problems": [], "problem_count": 0})
    assert await hubble_line(screen, hubble, "status") == 0
    assert screen.out.endswith("(100.00%)\nFlows/s: 22.86\n")


@pytest.mark.parametrize("output", ["dict", "table"])
async def test_other_formats_stay_as_they_are(output: str, hubble: Hubble, screen: Screen) -> None:
    hubble.status = status_of(NODE)
    assert await hubble_line(screen, hubble, "status", "-o", output) == 0
    before = screen.out
    hubble.told = _report(LOST)
    assert await hubble_line(screen, hubble, "status", "-o", output) == 0
    assert screen.out == before * 2


async def test_verbose_status_lists_losses_and_problems(hubble: Hubble, screen: Screen) -> None:
    hubble.status, hubble.told = status_of(NODE), _report(LOST)
    assert await hubble_line(screen, hubble, "status", "-v") == 0
    assert screen.out.endswith(f"Flows/s: 22.86\n{SHORT}{TABLES}")
    assert (screen.err, hubble.per_node) == ("", [True])


async def test_verbose_status_of_a_relay_tells_each_node(hubble: Hubble, screen: Screen) -> None:
    nodes: list[dict[str, object]] = [{"node_name": "b", "error": "gone\naway"}, LOST]
    nodes += [{"node_name": "a"}]
    hubble.told = _report(LOST | {"nodes": nodes, "nodes_left_out": 7})
    hubble.known = json_format.ParseDict(KNOWN, NodeStatusResponse())
    assert await hubble_line(screen, hubble, "status", "-v") == 0
    _, nodes_table, losses, _, left_out, links = screen.out.split("\n\n")
    cells = [line.split() for line in nodes_table.splitlines()[1:]]
    assert [line[0] for line in cells] == ["a", "b", "lab-1"]
    assert cells[1] == ["b", *["N/A"] * 8, "gone", "away"]
    assert len(losses.splitlines()) == 4
    assert left_out == "and 7 more nodes"
    assert f"\n{links}" == VERBOSE


async def test_json_has_the_report_in_the_same_object(hubble: Hubble, screen: Screen) -> None:
    hubble.status, hubble.told = status_of(NODE), _report(LOST)
    assert await hubble_line(screen, hubble, "status", "-o", "json") == 0
    found = json.loads(screen.out)
    assert found.pop("report") == json_format.MessageToDict(
        _report(LOST), preserving_proto_field_name=True
    )
    assert json_format.ParseDict(found, ServerStatusResponse()) == status_of(NODE)


async def test_json_of_a_server_that_is_empty(hubble: Hubble, screen: Screen) -> None:
    hubble.told = NodeReport(node_name="a")
    assert await hubble_line(screen, hubble, "status", "-o", "json") == 0
    assert screen.out == '{"report":{"node_name":"a"}}\n'


async def test_a_report_that_fails_takes_no_status_along(hubble: Hubble, screen: Screen) -> None:
    hubble.status, hubble.told_error = status_of(NODE), RpcError(Code.INTERNAL, "broken")
    assert await hubble_line(screen, hubble, "status") == 0
    assert screen.out.endswith("Flows/s: 22.86\n")
    assert screen.err == (
        "failed to get losses and problems: rpc error: code = Internal desc = broken\n"
    )
