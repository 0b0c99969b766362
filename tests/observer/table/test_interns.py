from collections import Counter

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from observer.table.interns import InternTable


def refs(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, np.int32)


def test_a_value_stands_once() -> None:
    table: InternTable[str] = InternTable()
    first = table.ref("a")
    assert first >= 1
    assert table.ref("b") != first
    assert table.ref("a") == first
    assert table[first] == "a"
    assert dict(table.items()) == {first: "a", table.ref("b"): "b"}
    assert table.size == 3


def test_the_last_holder_frees_and_the_number_is_given_out_again() -> None:
    table: InternTable[str] = InternTable()
    freed: list[list[int]] = []
    table.on_freed(freed.append)
    ref = table.ref("a")
    table.retain(refs(ref, 0, ref))
    table.release(refs(ref, 0))
    assert table[ref] == "a"
    before = table.version
    table.release(refs(ref))
    assert freed == [[ref]]
    assert table.version > before
    with pytest.raises(KeyError):
        table[ref]
    assert table.ref("b") == ref


def test_a_pinned_entry_needs_no_rows() -> None:
    table: InternTable[str] = InternTable()
    ref = table.ref("a")
    table.pin(ref)
    table.retain(refs(ref))
    table.release(refs(ref))
    assert table[ref] == "a"
    table.unpin(ref)
    assert len(table) == 0


def test_zero_is_nobody() -> None:
    table: InternTable[str] = InternTable()
    table.retain(refs(0, 0, 0))
    table.release(refs(0, 0))
    table.retain(refs())
    table.release(refs())
    with pytest.raises(KeyError):
        table[0]


def test_columns_of_any_shape_hold() -> None:
    table: InternTable[str] = InternTable()
    ref = table.ref("a")
    table.retain(np.full((3, 2), ref, np.int32))
    assert table.holders(ref) == 6


class Machine(RuleBasedStateMachine):
    """Against a Counter: what somebody holds is there, what nobody holds was freed."""

    def __init__(self) -> None:
        super().__init__()
        self.table: InternTable[int] = InternTable()
        self.held: Counter[int] = Counter()
        self.freed: list[int] = []
        self.table.on_freed(self.freed.extend)

    @rule(values=st.lists(st.integers(0, 150), max_size=40))
    def retain(self, values: list[int]) -> None:
        self.table.retain(refs(*(self.table.ref(value) for value in values)))
        self.held.update(values)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.held.elements())), max_size=20))
        values = list((Counter(chosen) & self.held).elements())
        self.table.release(refs(*(self.table.ref(value) for value in values)))
        self.held = self.held - Counter(values)

    @invariant()
    def holders_are_exact(self) -> None:
        assert {value for _, value in self.table.items()} == set(self.held)
        for ref, value in self.table.items():
            assert self.table.holders(ref) == self.held[value]
            assert ref < self.table.size


TestInternTable = Machine.TestCase
TestInternTable.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
