"""Samples: bytes from the kernel on their way to the decoder.

In: per-CPU perf rings or a recording. Out: batches in time order, one row of fixed size per
sample. Nothing here looks inside a sample; `observer.decode` is next.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# struct sizes of bpf/include/events.h
SAMPLE_BYTES = 216
CAPTURE_BYTES = 128
EXT_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSamples:
    """Samples that the kernel could not store in a ring."""

    cpu: int
    count: int
    first_mono_ns: int
    """Kernel time of the last sample read before the gap (0 unknown)."""
    last_mono_ns: int
    """Kernel time at which the gap was reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBatch:
    """Samples of all CPUs, sorted by kernel time."""

    samples: NDArray[np.uint8]
    """uint8, shape (n, SAMPLE_BYTES), C-contiguous; valid until the next batch is taken."""
    mono_ns: NDArray[np.int64]
    """int64, shape (n,), ascending: CLOCK_MONOTONIC when the sample was written."""
    cpus: NDArray[np.uint16]
    """uint16, shape (n,)."""
    wall_offset_ns: int
    """Add to mono_ns for nanoseconds since 1970; read once per batch."""
    lost: tuple[LostSamples, ...] = field(default=())
    misshapen: int = 0
    """Samples of another size than ours, since the batch before: none of them is here."""
    horizon_mono_ns: int | None = None
    """Kernel time before which nothing can still come; None where that is not known."""

    def __len__(self) -> int:
        return len(self.mono_ns)

    @property
    def has_news(self) -> bool:
        """Whether it tells of any event."""
        return self.event_count > 0

    @property
    def event_count(self) -> int:
        """Events that it tells of: samples, and those lost or of another size."""
        return len(self) + self.misshapen + sum(lost.count for lost in self.lost)
