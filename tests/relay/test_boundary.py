"""A stream that broke off goes on where it was: nothing is missing, nothing comes twice."""

from relay.boundary import Boundary
from relay.scan import Scanner
from tests.relay.wire import T0, gap, padded


def test_a_gap_at_the_boundary_is_left_out_whatever_comes_with_it() -> None:
    boundary = Boundary()
    # nothing follows yet: it goes with the flow before it
    scanned = Scanner().scan(padded("a", T0) + gap(7, T0 + 50))
    boundary.note(scanned.batches, scanned.frontier)
    boundary.begin_again()
    # now it goes by its own time
    again = Scanner().scan(padded("a", T0) + gap(7, T0 + 50) + padded("b", T0 + 100))
    [rest] = boundary.left_out(again.batches)
    assert [rest.message(index) for index in range(len(rest))] == [padded("b", T0 + 100)]
