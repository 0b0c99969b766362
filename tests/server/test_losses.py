"""Losses outside of batches become rows, each once."""

from observer.entities import LostEvents
from observer.ledger import Ledger, Stage
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from server.losses import LossReports


def table() -> FlowTable:
    return FlowTable(capacity=63, interns=Interns(), seed=1)


def rows(found: FlowTable) -> list[LostEvents]:
    return [detail for detail in found.details.values() if isinstance(detail, LostEvents)]


def test_each_loss_is_told_once_with_its_span() -> None:
    flows, ledger, now_ns = table(), Ledger(), 100
    counters = {"unread_drop": 1, "unread_trace": 4, "unread_verdict": 0, "dropped": 9}
    reports = LossReports(
        table=flows, ledger=ledger, counters=lambda: counters, wall_ns=lambda: now_ns
    )
    ledger.count(Stage.DECODE, "short", 3)
    now_ns = 200
    reports.report()
    assert rows(flows) == [
        LostEvents(source=0, count=3, cpu=None, first_ns=100, last_ns=200),
        LostEvents(source=1, count=5, cpu=None, first_ns=100, last_ns=200),
    ]
    assert ledger.total(Stage.RING) == 5

    reports.report()
    assert len(rows(flows)) == 2
    ledger.count(Stage.RING, "perf ring full", 7)  # told with its batch
    counters["unread_verdict"] = 2
    now_ns = 300
    reports.report()
    assert rows(flows)[2:] == [LostEvents(source=1, count=2, cpu=None, first_ns=200, last_ns=300)]
    assert ledger.total(Stage.RING) == 14


def test_a_replay_has_no_counters() -> None:
    flows, ledger = table(), Ledger()
    reports = LossReports(table=flows, ledger=ledger, counters=None, wall_ns=lambda: 5)
    reports.report()
    assert flows.head == 0
    ledger.count(Stage.DECODE, "short", 1)
    reports.report()
    assert [lost.count for lost in rows(flows)] == [1]
