"""bpf(2) by hand: what it leaves behind in this process."""

import gc
import os
from collections.abc import Iterator

import numpy as np
import pytest

from bench.emitter import create_map
from observer.kernel import syscall

pytestmark = pytest.mark.kernel

HASH, ENTRIES = 1, 8


@pytest.fixture
def hash_map() -> Iterator[int]:
    fd = create_map(HASH, 4, ENTRIES)
    yield fd
    os.close(fd)


def test_reading_a_map_to_its_end_leaves_nothing_to_the_collector(hash_map: int) -> None:
    """A slice of a large map is hundreds of kilobytes, and the collector counts objects only."""
    keys, values = np.zeros(ENTRIES, np.uint32), np.zeros(ENTRIES, np.uint32)
    gc.collect()
    gc.disable()
    try:
        assert syscall.lookup_batch(hash_map, None, keys, values) == (0, None)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_stops_a_batch_is_told(hash_map: int) -> None:
    keys, values = np.arange(2 * ENTRIES, dtype=np.uint32), np.zeros(2 * ENTRIES, np.uint32)
    with pytest.raises(OSError, match="Argument list too long"):
        syscall.update_batch(hash_map, keys.tobytes(), values.tobytes(), len(keys))
    count, _ = syscall.lookup_batch(hash_map, None, keys, values)
    assert count == ENTRIES
