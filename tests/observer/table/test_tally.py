"""The tally: what came before each readable position, against a list of all rows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from observer.entities import LostEvents
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows
from observer.table.tally import CountRows, Counts, Tally

KINDS = (EventKind.DROP, EventKind.TRACE, EventKind.AGENT)
BATCH = st.lists(st.sampled_from(KINDS), min_size=1, max_size=40) | st.integers(1, 9)
"""Kinds of a batch of rows, or how much a gap stands for."""


def append(table: FlowTable, batch: list[EventKind] | int) -> list[tuple[EventKind, int]]:
    if isinstance(batch, int):
        lost = LostEvents(source=1, count=batch, cpu=None, first_ns=None, last_ns=None)
        table.append_lost(lost, 1)
        return [(EventKind.LOST, batch)]
    rows = Rows.zeros(len(batch))
    rows.columns["kind"][:] = batch
    rows.columns["bytes"][:] = 1_000  # of packets: no matter here
    table.append(rows)
    return [(kind, 1) for kind in batch]


@given(batches=st.lists(BATCH, max_size=40))
@settings(max_examples=150, deadline=None)
def test_every_readable_position(batches: list[list[EventKind] | int]) -> None:
    table = FlowTable(capacity=31, interns=Interns(), seed=1)
    events: list[tuple[EventKind, int]] = []
    for batch in batches:
        events += append(table, batch)
        for position in {table.oldest, (table.oldest + table.head) // 2, table.head}:
            found = table.events_before(position)
            for kind in EventKind:
                assert found[kind] == sum(n for at, n in events[:position] if at == kind)


def test_marks_are_few_and_those_of_rows_that_are_gone_are_dropped() -> None:
    table = FlowTable(capacity=(1 << 14) - 1, interns=Interns(), seed=1)
    asked: list[tuple[int, int]] = []
    table._tally._count_rows = _noting(asked, table._tally)
    for size in (1, 100, 700, 3) * 200:
        append(table, [EventKind.TRACE] * size)
    assert len(table._tally._positions) <= 4
    for position in range(table.oldest, table.head, 500):
        assert table.events_before(position)[EventKind.TRACE] == position
    assert max(stop - start for start, stop in asked) <= 4_096 + 700


def _noting(asked: list[tuple[int, int]], tally: Tally) -> CountRows:
    count_rows = tally._count_rows

    def noting(start: int, stop: int) -> Counts:
        asked.append((start, stop))
        return count_rows(start, stop)

    return noting
