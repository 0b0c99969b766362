import pytest

from bench.soaking.plateau import Sample, plateau


def samples(resident_bytes: list[int], fds: list[int]) -> list[Sample]:
    pairs = zip(resident_bytes, fds, strict=True)
    return [Sample(resident_bytes=held, fds=count) for held, count in pairs]


@pytest.mark.parametrize(
    ("resident_bytes", "fds", "says"),
    [
        ([100 << 20] * 30, [30] * 30, []),
        ([(100 << 20) + (each % 5 << 20) for each in range(30)], [30] * 30, []),
        (
            [(100 << 20) + (each << 20) for each in range(30)], [30] * 30,
            ["memory grew from 109.6 MB to 130.5 MB"],
        ),
        ([100 << 20] * 30, list(range(30, 90, 2)), ["descriptors grew from 39 to 79"]),
    ],
    ids=["flat", "to and fro", "memory", "descriptors"],
)  # fmt: skip
def test_growth(resident_bytes: list[int], fds: list[int], says: list[str]) -> None:
    found = plateau(samples(resident_bytes, fds))
    assert found is not None
    assert found.faults() == says


def test_a_short_life_is_not_judged() -> None:
    assert plateau(samples([1] * 10, [1] * 10)) is None
