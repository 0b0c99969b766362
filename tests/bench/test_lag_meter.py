import asyncio
import os
import time
from pathlib import Path

import numpy as np
import pytest

from bench.lag_meter import _Meter, lag_measured, quantile_ms, read_counts


@pytest.mark.parametrize(
    ("late_ms", "fraction", "expected_ms"),
    [
        pytest.param([0.0], 0.5, 0.05, id="the upper end of its step"),
        pytest.param([0.01] * 99 + [3.0], 0.99, 0.05, id="one of a hundred may be late"),
        pytest.param([0.01] * 98 + [3.0] * 2, 0.99, 3.05, id="two may not"),
        pytest.param([0.01, 3.0], 1.0, 3.05, id="the latest"),
    ],
)
def test_quantile(late_ms: list[float], fraction: float, expected_ms: float) -> None:
    counts = np.zeros(20_000, np.uint64)
    for late in late_ms:
        counts[round(late * 1e6) // 50_000] += np.uint64(1)
    assert quantile_ms(counts, fraction) == pytest.approx(expected_ms)


def test_no_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no expiries"):
        quantile_ms(np.zeros(20_000, np.uint64), 0.5)


def test_every_missed_expiry_counts_by_its_own_lateness() -> None:
    read, write = os.pipe()
    try:
        os.write(write, (3).to_bytes(8, "little"))
        counts = np.zeros(20_000, np.uint64)
        _Meter(read, time.monotonic_ns() - 2_000_000_000, counts).look()
    finally:
        os.close(read)
        os.close(write)
    assert counts.sum() == counts[-1] == 3


def test_expiries_are_ten_milliseconds_apart() -> None:
    read, write = os.pipe()
    try:
        os.write(write, (3).to_bytes(8, "little"))
        counts = np.zeros(20_000, np.uint64)
        _Meter(read, time.monotonic_ns() - 500_000_000, counts).look()
    finally:
        os.close(read)
        os.close(write)
    steps = np.flatnonzero(counts)
    assert np.diff(steps).tolist() == [200, 200]


async def test_a_running_loop_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    with lag_measured(path):
        while not read_counts(path).any():  # noqa: ASYNC110 - it writes and tells nobody
            await asyncio.sleep(0)
    assert read_counts(path).shape == (20_000,)
