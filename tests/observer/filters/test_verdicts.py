"""Verdicts on what rows refer to: right after any changes of the intern table, however many."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.filters.condition import RefVerdicts
from observer.table import interns
from observer.table.interns import InternTable


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["pin", "unpin", "ask"]), st.integers(0, 12)), max_size=80
    )
)
@settings(max_examples=300, deadline=None)
def test_they_are_those_of_the_values_that_the_refs_have_now(steps: list[tuple[str, int]]) -> None:
    table: InternTable[int] = InternTable()
    verdicts: RefVerdicts[int] = RefVerdicts(lambda value: value % 3 == 0)
    pinned: dict[int, int] = {}
    for step, value in steps:
        if step == "pin" and value not in pinned:
            pinned[value] = table.ref(value)
            table.pin(pinned[value])
        elif step == "unpin" and value in pinned:
            table.unpin(pinned.pop(value))
        elif step == "ask":
            refs = np.array([0, *pinned.values()], np.int32)
            found = verdicts.mask(table, refs).tolist()
            assert found == [False, *(value % 3 == 0 for value in pinned)]


def test_more_changes_than_are_remembered() -> None:
    table: InternTable[int] = InternTable()
    asked: list[int] = []

    def is_large(value: int) -> bool:
        asked.append(value)
        return value > 5

    verdicts = RefVerdicts(is_large)
    kept = table.ref(7)
    table.pin(kept)
    for value in range(100, 100 + 2 * interns._REMEMBERED):
        ref = table.ref(value)
        table.pin(ref)
        if value in (100, 101):
            assert verdicts.mask(table, np.array([kept, ref], np.int32)).all()
        table.unpin(ref)
    ref = table.ref(1)
    table.pin(ref)
    assert table.freed_since(0) is None
    assert verdicts.mask(table, np.array([kept, ref], np.int32)).tolist() == [True, False]
    # what did not change is not judged again
    assert asked == [7, 100, 101, 1]


def test_what_was_freed_is_named_from_any_version_on() -> None:
    table: InternTable[str] = InternTable()
    refs = [table.ref(text) for text in "abc"]
    versions = []
    for ref in refs:
        table.pin(ref)
        versions.append(table.version)
        table.unpin(ref)
    assert table.freed_since(versions[0]) == refs
    assert table.freed_since(versions[2]) == refs[2:]
    assert table.freed_since(table.version) == []
