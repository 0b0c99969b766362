"""Chunks → batches: the same for every way of writing, whatever stands between the flows."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.wire import frame
from relay.errors import MalformedError
from relay.scan import Scanned, Scanner
from relay.times import NEVER_YET, stamp_of
from tests.relay.wire import (
    NS,
    T0,
    at_the_tail,
    gap,
    minimal,
    padded,
    progress,
    stamps,
    uuids,
)

Write = Callable[[str, int], bytes]
WRITERS: list[Write] = [padded, minimal, at_the_tail]


def content(scanned: Scanned) -> list[tuple[str, int]]:
    """The flows of all batches with their stamps."""
    found = []
    for batch in scanned.batches:
        for index, stamp in enumerate(batch.stamps):
            found.append((uuids(batch.message(index))[0], stamp))
    return found


@pytest.mark.parametrize("write", WRITERS)
def test_flows_keep_order_and_get_their_times(write: Write) -> None:
    scanner = Scanner()
    times = [T0, T0 + 5, T0 + 700_000_000, T0 + NS, T0 + NS + 1, T0 + 61 * NS]
    expected = [(str(number), stamp_of(time)) for number, time in enumerate(times)]
    data = b"".join(write(str(number), time) for number, time in enumerate(times))
    scanned = scanner.scan(data)
    assert content(scanned) == expected
    assert len(scanned.batches) == 1
    assert scanned.frontier == stamp_of(times[-1])
    # once more, with what was learned from the first
    later = [time + 100 * NS for time in times]
    data = b"".join(write(str(number), time) for number, time in enumerate(later))
    assert [stamp for _, stamp in content(scanner.scan(data))] == stamps(later)


@given(
    st.lists(st.tuples(st.sampled_from(range(len(WRITERS))), st.integers(0, 3 * NS)), max_size=30),
    st.booleans(),
)
def test_any_mixture_of_writers(flows: list[tuple[int, int]], has_two_names: bool) -> None:
    scanner = Scanner()
    times = sorted(T0 + time for _, time in flows)
    data = b"".join(
        WRITERS[writer](str(number), time)
        for number, ((writer, _), time) in enumerate(zip(flows, times, strict=True))
    )
    if has_two_names:
        data = padded("other", T0 - 1, node="another-node") + data
    found = content(scanner.scan(data))
    assert [stamp for _, stamp in found][has_two_names:] == stamps(times)
    assert [uuid for uuid, _ in found][has_two_names:] == [str(n) for n in range(len(flows))]


def test_progress_is_cut_out_and_moves_the_frontier() -> None:
    scanner = Scanner()
    data = padded("a", T0) + progress(T0 + 5) + padded("b", T0 + 6) + progress(T0 + 9)
    scanned = scanner.scan(data)
    assert [uuids(batch.message(0)) for batch in scanned.batches] == [["a"], ["b"]]
    assert scanned.frontier == stamp_of(T0 + 9)
    again = scanner.scan(progress(T0 + 12))
    assert (again.batches, again.frontier) == ([], stamp_of(T0 + 12))


def test_a_gap_keeps_its_place_and_is_told() -> None:
    scanner = Scanner()
    data = gap(1, T0 + 50) + padded("a", T0) + gap(7, T0 + 100) + padded("b", T0 + 1)
    [batch] = (scanned := scanner.scan(data)).batches
    assert batch.stamps == stamps([T0, T0, T0 + 1, T0 + 1])
    assert [(stamp, lost.num_events_lost) for stamp, lost in scanned.gaps] == [
        (stamp_of(T0 + 50), 1),
        (stamp_of(T0 + 100), 7),
    ]
    assert scanned.frontier == stamp_of(T0 + 1)


def test_a_gap_goes_by_its_own_time_where_what_follows_is_younger() -> None:
    data = padded("a", T0) + gap(1, T0 + 50) + gap(2, T0 + 60) + padded("b", T0 + 100)
    [batch] = Scanner().scan(data).batches
    assert batch.stamps == stamps([T0, T0 + 50, T0 + 60, T0 + 100])


def test_a_gap_before_progress_is_no_younger_than_that() -> None:
    [batch] = Scanner().scan(gap(1, T0 + 5) + gap(2, T0 + 50) + progress(T0 + 9)).batches
    assert batch.stamps == stamps([T0 + 5, T0 + 9])


def test_a_gap_at_the_head_of_a_stream_waits_for_what_follows() -> None:
    scanner = Scanner()
    first = scanner.scan(gap(1, T0 + 50))
    second = scanner.scan(gap(2, T0 + 60))
    assert not any((first.batches, first.gaps, second.batches, second.gaps))
    assert second.frontier == NEVER_YET
    third = scanner.scan(padded("a", T0 + 55))
    assert [batch.stamps for batch in third.batches] == [stamps([T0 + 50, T0 + 55, T0 + 55])]
    assert [lost.num_events_lost for _, lost in third.gaps] == [1, 2]
    assert not scanner.end().batches


def test_a_gap_that_nothing_follows_is_told_at_the_end() -> None:
    scanner = Scanner()
    scanner.scan(gap(3, T0 + 50))
    scanned = scanner.end()
    assert [batch.stamps for batch in scanned.batches] == [stamps([T0 + 50])]
    assert [lost.num_events_lost for _, lost in scanned.gaps] == [3]
    assert scanned.frontier == stamp_of(T0 + 50)


def test_a_flow_that_comes_late_goes_with_the_one_before_it() -> None:
    scanner = Scanner()
    [batch] = scanner.scan(padded("a", T0 + 5) + padded("b", T0) + padded("c", T0 + 6)).batches
    assert batch.stamps == stamps([T0 + 5, T0 + 5, T0 + 6])
    [batch] = scanner.scan(padded("d", T0)).batches
    assert batch.stamps == stamps([T0 + 6])


def test_what_is_no_response_is_refused() -> None:
    with pytest.raises(MalformedError):
        Scanner().scan(padded("a", T0) + frame(b"\x0b\x01"))
    with pytest.raises(MalformedError, match="not a LostEvent"):
        Scanner().scan(frame(b"\x1a\x02\x08\xff"))


@given(
    st.lists(st.binary(max_size=40), max_size=8),
    st.lists(st.integers(0, 5), max_size=8),
)
def test_messages_of_a_hostile_node_are_kept_whole_or_refused(
    odd: list[bytes], places: list[int]
) -> None:
    good = [padded(str(number), T0 + number) for number in range(6)]
    flows = list(good)
    for content, place in zip(odd, places, strict=False):
        flows.insert(place, frame(content))
    scanner = Scanner()
    try:
        scanned = scanner.scan(b"".join(flows))
    except MalformedError:
        return
    kept = [batch.message(index) for batch in scanned.batches for index in range(len(batch))]
    assert [each for each in flows if each in kept] == kept
    assert [each for each in kept if each in good] == good
    for batch in scanned.batches:
        assert batch.stamps == sorted(batch.stamps)
