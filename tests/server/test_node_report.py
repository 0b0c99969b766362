"""What a node tells of itself, asked over a real connection."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from google.protobuf import json_format

from api.lane.client import Channel
from api.lane.health import Health
from api.proto.leavitt.node_pb2 import NodeReport, ReportRequest
from api.proto.observer.observer_pb2 import GetFlowsRequest
from observer.entities import LostEvents
from observer.ledger import Stage
from server.listening import listen
from server.node import Node, build_node
from server.node_report import MOST_LETTERS, MOST_PROBLEMS, NodeService, Watched
from server.problems import Problem
from server.settings import Settings

ONE_LOST = LostEvents(source=1, count=1, cpu=None, first_ns=None, last_ns=0)


@dataclass
class Asked:
    node: Node
    channel: Channel

    async def report(self) -> NodeReport:
        return await self.channel.unary("/leavitt.Node/Report", ReportRequest(), NodeReport)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    settings = Settings(node_name="n1", socket_path=tmp_path / "h.sock", event_buffer_capacity=7)
    node = build_node(settings)
    lane, channel = await listen(settings, node, Health()), Channel(f"unix://{tmp_path}/h.sock")
    yield Asked(node, channel)
    await channel.close()
    await lane.stop(0)


async def test_a_node_to_which_nothing_has_happened(asked: Asked) -> None:
    report = await asked.report()
    assert (report.node_name, report.error, report.mode) == ("n1", "", "")
    assert report.uptime.ToNanoseconds() > 0
    assert (report.table.rows, report.table.capacity) == (0, 7)
    assert not report.table.HasField("oldest_time")
    assert not report.losses
    assert not report.problem_count
    assert report.HasField("readers")


async def test_losses_in_the_order_in_which_events_pass(asked: Asked) -> None:
    asked.node.ledger.count(Stage.READER, "reader overtaken", 34)
    asked.node.ledger.count(Stage.RING, "perf ring full", 1_200)
    losses = (await asked.report()).losses
    assert [(each.stage, each.reason, each.count) for each in losses] == [
        ("ring", "perf ring full", 1_200),
        ("reader", "reader overtaken", 34),
    ]
    [known, _] = asked.node.ledger.losses()
    assert losses[0].first_time.ToNanoseconds() == known.first_ns
    assert losses[0].last_time.ToNanoseconds() == known.last_ns


async def test_what_the_table_holds(asked: Asked) -> None:
    for time_ns in range(100, 120):
        asked.node.table.append_lost(ONE_LOST, time_ns)
    table = (await asked.report()).table
    assert (table.rows, table.capacity) == (7, 7)
    assert (table.oldest_time.ToNanoseconds(), table.span.ToNanoseconds()) == (113, 6)


async def test_who_reads_and_how_far_behind(asked: Asked) -> None:
    request = GetFlowsRequest(follow=True)
    async with asked.channel.server_stream("/observer.Observer/GetFlows", request) as call:
        await call.wait_initial_metadata()
        readers = (await asked.report()).readers
        assert readers.count == 1
        present, table = asked.node.report._readers, asked.node.table
        while not present.statistics(table.head + 1).worst_lag_rows:
            await asked.report()  # until the reader knows where it stands
        # the writer goes on before the reader has its turn
        table.append_lost(ONE_LOST, 5)
        assert present.statistics(table.head).worst_lag_rows == 1
    while (await asked.report()).readers.count:
        pass  # until the server has heard that the client is gone


async def test_problems_are_told_with_what_they_are_about(asked: Asked) -> None:
    found = [
        Problem(about="Pod default/xwing", reason="its address is taken", since_ns=3),
        Problem(about="interfaces", reason="read: refused", since_ns=4),
    ]
    asked.node.report.watch(
        Watched(mode="enforce", attach="tcx", pods=lambda: 2, problems=lambda: found)
    )
    report = await asked.report()
    assert (report.mode, report.attach, report.pods) == ("enforce", "tcx", 2)
    assert [json_format.MessageToDict(each) for each in report.problems] == [
        {
            "kind": "Pod",
            "object": "default/xwing",
            "text": "its address is taken",
            "since": "1970-01-01T00:00:00.000000003Z",
        },
        {"kind": "interfaces", "text": "read: refused", "since": "1970-01-01T00:00:00.000000004Z"},
    ]


async def test_a_report_stays_small_whatever_is_wrong(asked: Asked) -> None:
    one = Problem(about="Pod " + "ü" * 10_000, reason="ü" * 10_000, since_ns=1)
    many = [replace(one, since_ns=number) for number in range(20_000)]
    asked.node.report.watch(Watched(mode="observe", pods=lambda: 0, problems=lambda: many))
    report = await asked.report()
    assert (report.problem_count, len(report.problems)) == (20_000, MOST_PROBLEMS)
    assert report.ByteSize() < MOST_PROBLEMS * MOST_LETTERS * 5


async def test_the_node_runs_since_it_was_made(asked: Asked) -> None:
    now_ns = [1_000]
    node = asked.node
    service = NodeService(
        node_name="n1",
        table=node.table,
        ledger=node.ledger,
        pipeline=node.pipeline,
        readers=node.report._readers,
        clock_ns=lambda: now_ns[0],
    )
    now_ns[0] = 5_000_001_000
    report = await service.report(None, ReportRequest())  # type: ignore[arg-type]  # not looked at
    assert report.uptime.ToNanoseconds() == 5_000_000_000
