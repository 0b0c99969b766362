"""The watermark: only rises, and no row is ever older."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows
from observer.table.watermark import Watermark


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=30))
def test_no_row_is_older_than_what_was_promised(steps: list[tuple[bool, int]]) -> None:
    table = FlowTable(capacity=15, interns=Interns(), seed=1)
    promised = 0
    for is_row, time_ns in steps:
        if is_row:
            rows = Rows.zeros(1)
            rows.columns["time_ns"][:] = time_ns
            position = table.append(rows)
            stands_at = int(table.columns["time_ns"][position & table.capacity])
            assert stands_at == max(time_ns, promised)
        else:
            table.watermark.raise_to(time_ns)
        promised = max(promised, time_ns)
        assert table.watermark.time_ns == promised


def test_rows_of_a_batch_are_raised_together() -> None:
    table = FlowTable(capacity=15, interns=Interns(), seed=1)
    table.watermark.raise_to(7)
    rows = Rows.zeros(4)
    rows.columns["time_ns"][:] = (3, 5, 9, 8)
    table.append(rows)
    np.testing.assert_array_equal(table.columns["time_ns"][:4], [7, 7, 9, 9])


def test_several_may_watch() -> None:
    watermark = Watermark()
    with watermark.watched():
        with watermark.watched():
            assert watermark.is_watched()
        assert watermark.is_watched()
    assert not watermark.is_watched()
