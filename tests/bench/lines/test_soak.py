import pytest

from bench.lines.soak import lives


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [
        (10, [240.0, *[60.0] * 6]),
        (1, [24.0, 10.0, 10.0, 10.0]),
        (0.1, [10.0]),
    ],
)
def test_a_long_life_then_short_ones(minutes: float, seconds: list[float]) -> None:
    assert lives(minutes * 60) == seconds
