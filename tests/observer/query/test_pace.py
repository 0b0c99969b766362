"""The pace follows what steps take, within its bounds."""

from observer.query.pace import Pace


def pace() -> Pace:
    return Pace(target_s=0.001, rows=400, least=100, most=1000)


def test_steps_that_are_too_slow_become_smaller_by_halves() -> None:
    adapting = pace()
    adapting.took(400, 1.0)
    assert adapting.rows == 200
    adapting.took(200, 0.001_25)
    assert adapting.rows == 160
    adapting.took(160, 1.0)
    assert adapting.rows == 100


def test_steps_that_are_quick_become_larger_by_doubling() -> None:
    adapting = pace()
    adapting.took(400, 0.000_001)
    assert adapting.rows == 800
    adapting.took(800, 0.000_001)
    assert adapting.rows == 1000


def test_a_short_step_says_nothing_about_long_ones_unless_it_was_slow() -> None:
    adapting = pace()
    adapting.took(10, 0.000_001)
    assert adapting.rows == 400
    adapting.took(10, 0.001)
    assert adapting.rows == 200


def test_steps_without_rows_or_time_are_no_measurement() -> None:
    adapting = pace()
    adapting.took(0, 1.0)
    adapting.took(400, 0.0)
    assert adapting.rows == 400
