"""The distance of two clocks that cannot be read at once."""

from hypothesis import given
from hypothesis import strategies as st

from observer.kernel.wall_clock import WallClock

TRUE_NS = 1_795_000_000_000_000_000


class Clocks:
    """Two clocks that are a known distance apart; each reading may take as long as is wished."""

    def __init__(self, *pauses_ns: int) -> None:
        self.now_ns = 7_000_000_000_000
        self.distance_ns = TRUE_NS
        self.pauses_ns = list(pauses_ns)

    def mono_ns(self) -> int:
        self.now_ns += self.pauses_ns.pop(0) if self.pauses_ns else 50
        return self.now_ns

    def wall_ns(self) -> int:
        return self.mono_ns() + self.distance_ns


def watched(clocks: Clocks) -> WallClock:
    return WallClock(wall_ns=clocks.wall_ns, mono_ns=clocks.mono_ns)


def test_a_quiet_machine() -> None:
    clock = watched(Clocks())
    assert clock.offset_ns() == clock.offset_ns() == TRUE_NS


def test_who_sleeps_between_two_readings_reads_again() -> None:
    assert watched(Clocks(0, 27_000_000, 50)).offset_ns() == TRUE_NS
    assert watched(Clocks(0, 50, 27_000_000)).offset_ns() == TRUE_NS


def test_sleeping_later_changes_nothing() -> None:
    clocks = Clocks()
    clock = watched(clocks)
    before_ns = clock.offset_ns()
    # longer than there are attempts, and lopsided
    clocks.pauses_ns = [0, 27_000_000, 50] * 20
    assert clock.offset_ns() == before_ns


def test_a_clock_that_was_set_is_followed() -> None:
    clocks = Clocks()
    clock = watched(clocks)
    clock.offset_ns()
    for step_ns in (3_600_000_000_000, -1_000_000):
        clocks.distance_ns += step_ns
        assert clock.offset_ns() == clocks.distance_ns


@given(pauses_ns=st.lists(st.integers(0, 50_000_000), max_size=60))
def test_the_error_is_below_half_of_the_best_reading(pauses_ns: list[int]) -> None:
    clock = watched(Clocks(*pauses_ns))
    assert abs(clock.offset_ns() - TRUE_NS) <= clock._width_ns // 2 + 1


def test_the_clocks_of_this_machine() -> None:
    assert len({WallClock().offset_ns() // 1_000_000_000 for _ in range(3)}) <= 2
