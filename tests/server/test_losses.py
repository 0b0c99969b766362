"""Losses outside of batches become rows, each once."""

from dataclasses import dataclass, field

from observer.entities import LostEvents
from observer.kernel.counters import Untold
from observer.ledger import Ledger, Stage
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from server.losses import BEFORE_START, LossReports


def table() -> FlowTable:
    return FlowTable(capacity=63, interns=Interns(), seed=1)


def rows(found: FlowTable) -> list[LostEvents]:
    return [detail for detail in found.details.values() if isinstance(detail, LostEvents)]


@dataclass(slots=True, kw_only=True)
class Events:
    """Accounts of a datapath, in memory."""

    before: Untold
    new: int = 0
    told_counts: list[int] = field(default_factory=list)

    def told(self, count: int) -> None:
        self.told_counts.append(count)

    def untold(self) -> Untold:
        return self.before

    def unread(self) -> int:
        found, self.new = self.new, 0
        return found


def test_each_loss_is_told_once_with_its_span() -> None:
    flows, ledger, now_ns = table(), Ledger(), 100
    events = Events(before=Untold(count=0, since_wall_ns=None))
    reports = LossReports(table=flows, ledger=ledger, accounts=events, wall_ns=lambda: now_ns)
    ledger.count(Stage.DECODE, "short", 3)
    events.new = 5
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
    events.new = 2
    now_ns = 300
    reports.report()
    assert rows(flows)[2:] == [LostEvents(source=1, count=2, cpu=None, first_ns=200, last_ns=300)]
    assert ledger.total(Stage.RING) == 14
    assert events.told_counts == [5, 2]


def test_what_nobody_told_before_the_start_is_told_at_once() -> None:
    flows, ledger = table(), Ledger()
    events = Events(before=Untold(count=9, since_wall_ns=40))
    reports = LossReports(table=flows, ledger=ledger, accounts=events, wall_ns=lambda: 100)
    reports.report()
    assert rows(flows) == [LostEvents(source=1, count=9, cpu=None, first_ns=40, last_ns=100)]
    assert ledger.snapshot() == ((Stage.RING, BEFORE_START, 9),)
    assert events.told_counts == [9]


def test_a_replay_has_no_counters() -> None:
    flows, ledger = table(), Ledger()
    reports = LossReports(table=flows, ledger=ledger, accounts=None, wall_ns=lambda: 5)
    reports.report()
    assert flows.head == 0
    ledger.count(Stage.DECODE, "short", 1)
    reports.report()
    assert [lost.count for lost in rows(flows)] == [1]
