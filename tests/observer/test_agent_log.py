"""Agent events become rows: a little later, in order, never held without bound."""

import asyncio
from itertools import count

import pytest

from api.proto.flow.flow_pb2 import AgentEvent, AgentEventType
from observer import agent_log
from observer.agent_log import MOST_WAITING, AgentLog
from observer.entities import AgentNotice
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows

STARTED = AgentEvent(type=AgentEventType.AGENT_STARTED)


def policy(revision: int) -> AgentEvent:
    event = AgentEvent(type=AgentEventType.POLICY_UPDATED)
    event.policy_update.revision = revision
    return event


@pytest.fixture
def table() -> FlowTable:
    return FlowTable(capacity=8191, interns=Interns(), seed=1)


def told(table: FlowTable) -> list[AgentEvent]:
    details = [table.details[position] for position in range(table.oldest, table.head)]
    assert all(isinstance(detail, AgentNotice) for detail in details)
    return [AgentEvent.FromString(detail.message) for detail in details]  # type: ignore[attr-defined]


async def test_rows_have_the_time_of_the_event_and_its_type(table: FlowTable) -> None:
    log = AgentLog(table, wall_ns=count(100).__next__)
    log.add([STARTED])
    log.add([policy(1), policy(2)])
    assert table.head == 0
    log.write()
    assert told(table) == [STARTED, policy(1), policy(2)]
    assert table.columns["time_ns"][:3].tolist() == [100, 101, 101]
    assert table.columns["kind"][:3].tolist() == [EventKind.AGENT] * 3
    assert table.columns["sub_type"][:3].tolist() == [2, 3, 3]
    log.write()
    assert table.head == 3


async def test_flows_of_that_moment_keep_their_times(table: FlowTable) -> None:
    log = AgentLog(table, wall_ns=lambda: 200)
    log.add([STARTED])
    for time_ns in (150, 250):
        rows = Rows.zeros(1)
        rows.columns["time_ns"][:] = time_ns
        table.append(rows)
    log.write()
    assert table.columns["time_ns"][:3].tolist() == [150, 250, 250]


async def test_it_writes_by_itself(table: FlowTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_log, "DELAY_S", 0)
    log = AgentLog(table)
    task = asyncio.create_task(log.run())  # noqa: TID251 # cancelled below
    for revision in (1, 2):
        log.add([policy(revision)])
        await table.wait_beyond(table.head)
    many = [policy(number) for number in range(600)]
    log.add(many)
    await table.wait_beyond(601)
    assert told(table)[2:] == many
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_waits_at_the_end_is_written(table: FlowTable) -> None:
    log = AgentLog(table)
    task = asyncio.create_task(log.run())  # noqa: TID251 # cancelled below
    log.add(policy(number) for number in range(300))
    await asyncio.sleep(0)
    assert table.head == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert table.head == 300


async def test_no_more_than_a_bound_waits(table: FlowTable) -> None:
    log = AgentLog(table)
    log.add(policy(number) for number in range(MOST_WAITING))
    assert table.head == 0
    log.add([STARTED])
    assert table.head == agent_log.BATCH
    assert told(table)[0] == policy(0)
