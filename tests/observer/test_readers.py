from dataclasses import dataclass

import pytest

from observer.readers import Readers, ReaderStatistics


@dataclass
class Standing:
    position: int | None


def test_the_slowest_is_told_and_who_ends_is_forgotten() -> None:
    readers = Readers()
    assert readers.statistics(10) == ReaderStatistics(count=0, worst_lag_rows=0)
    with readers.reading(Standing(7)), readers.reading(Standing(None)):
        with readers.reading(Standing(2)):
            assert readers.statistics(10) == ReaderStatistics(count=3, worst_lag_rows=8)
        assert readers.statistics(10) == ReaderStatistics(count=2, worst_lag_rows=3)
    with pytest.raises(ValueError, match="broken"), readers.reading(Standing(1)):
        raise ValueError("broken")
    assert readers.statistics(10).count == 0
