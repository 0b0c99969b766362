"""Stamps sort as times do; walking finds kind and time wherever they stand."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import MalformedError
from relay.times import FLOW, FOREVER, LOST, NEVER_YET, stamp_of, time_ns_of, walk
from tests.relay.wire import T0, at_the_tail, gap, minimal, padded, progress

TIMES = st.integers(-(10**18), 10**19)


@given(TIMES, TIMES)
def test_stamps_sort_as_times_do(one: int, other: int) -> None:
    assert (stamp_of(one) < stamp_of(other)) == (one < other)
    assert NEVER_YET < stamp_of(one) < FOREVER
    assert time_ns_of(stamp_of(one)) == one


@pytest.mark.parametrize("make", [padded, minimal, at_the_tail])
@pytest.mark.parametrize("time_ns", [T0, T0 + 1, T0 + 999_999_999, 0, T0 + 300_000_000])
def test_a_flow(make: Callable[[str, int], bytes], time_ns: int) -> None:
    data = make("a", time_ns)
    found = walk(data, 5, len(data))
    assert (found.kind, found.stamp) == (FLOW, stamp_of(time_ns))


def test_a_gap_and_progress() -> None:
    data = gap(3, T0)
    assert walk(data, 5, len(data))[:2] == (LOST, stamp_of(T0))
    data = progress(T0)
    assert walk(data, 5, len(data))[:2] == (None, stamp_of(T0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a", "a number without an end"),
        (b"\x0a\x05ab", "ends 3 bytes behind it"),
        (b"\x0b", "no wire type 3"),
        (b"\xff" * 12, "a number without an end"),
        (b"\xca\x3e\x02\x08\xff", "not a timestamp"),
        (b"\x09abc", "ends 5 bytes behind it"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        walk(data, 0, len(data))


@given(st.binary(max_size=60))
def test_any_bytes_are_walked_or_refused(data: bytes) -> None:
    try:
        walk(data, 0, len(data))
    except MalformedError:
        return
