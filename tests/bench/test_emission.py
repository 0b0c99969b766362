import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.emission import emitting
from bench.emitter import Emitted, create_perf_map
from observer.kernel import pins, syscall
from observer.samples import SAMPLE_BYTES

pytestmark = pytest.mark.kernel


@pytest.fixture
def ring_map() -> Iterator[Path]:
    held = pins.take(node=f"lvtest-emission-{os.getpid()}", bpffs=pins.DEFAULT_BPFFS)
    fd = create_perf_map()
    held.maps.mkdir(parents=True, exist_ok=True)
    path = held.maps / "events"
    syscall.pin(fd, path)
    os.close(fd)
    yield path
    held.remove()


def test_emits_as_many_as_told_and_not_faster(tmp_path: Path, ring_map: Path) -> None:
    samples = tmp_path / "samples"
    np.zeros((4, SAMPLE_BYTES), np.uint8).tofile(samples)
    with emitting(samples, ring_map) as emission:
        run = emission.emit(500, 10_000)
        assert run.emitted == Emitted(written=500, refused=500)
        assert run.per_second <= 10_000
        assert emission.emit(3, 1_000).emitted == Emitted(written=3, refused=3)
