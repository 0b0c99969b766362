from pathlib import Path

import pytest

from bench.measurement import Budget, Conditions, Measurement, quantile


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        pytest.param([7.0], 0.99, 7.0, id="one"),
        pytest.param([3.0, 1.0, 2.0], 0.5, 2.0, id="median-odd"),
        pytest.param([4.0, 1.0, 2.0, 3.0], 0.5, 2.5, id="median-even"),
        pytest.param([float(i) for i in range(101)], 0.99, 99.0, id="p99"),
        pytest.param([0.0, 10.0], 0.25, 2.5, id="between"),
        pytest.param([5.0, 1.0], 0.0, 1.0, id="least"),
        pytest.param([5.0, 1.0], 1.0, 5.0, id="most"),
    ],
)
def test_quantile(values: list[float], fraction: float, expected: float) -> None:
    assert quantile(values, fraction) == pytest.approx(expected)


@pytest.mark.parametrize(("values", "fraction"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_quantile_refuses(values: list[float], fraction: float) -> None:
    with pytest.raises(ValueError, match="take quantile"):
        quantile(values, fraction)


@pytest.mark.parametrize(
    ("budget", "value", "met"),
    [
        (Budget(limit=80, ceiling=True), 80, True),
        (Budget(limit=80, ceiling=True), 80.1, False),
        (Budget(limit=600, ceiling=False), 600, True),
        (Budget(limit=600, ceiling=False), 599, False),
    ],
)
def test_budget(budget: Budget, value: float, met: bool) -> None:
    assert budget.met_by(value) is met


def test_measurement_holds_its_quantile_against_the_budget() -> None:
    times = tuple(float(i) for i in range(101))
    median = Measurement(
        line="x", what="y", unit="ms", values=times, budget=Budget(limit=60, ceiling=True)
    )
    tail = Measurement(
        line="x",
        what="y",
        unit="ms",
        values=times,
        budget=Budget(limit=60, ceiling=True),
        fraction=0.99,
        peer=(1.0, 2.0),
    )
    assert (median.value, median.within_budget, median.peer_value) == (50, True, None)
    assert (tail.value, tail.within_budget) == (99, False)
    assert tail.peer_value == pytest.approx(1.99)


def test_quick_takes_few_repeats(tmp_path: Path) -> None:
    assert Conditions(quick=True, folder=tmp_path).repeats(20, quick=3) == 3
    assert Conditions(quick=False, folder=tmp_path).repeats(20, quick=3) == 20
