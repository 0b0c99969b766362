"""Memory and descriptors of a life, sampled by a thread, and whether they stay flat.

The first third of the samples is held against the last; what grows for ever grows between them.
"""

import statistics
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.errors import WrongAnswerError
from bench.processes import usage

_EVERY_S: Final = 0.5
_LEAST: Final = 18
WARM_UP_SAMPLES: Final = 60
"""Half a minute under load: until then a new process still fills its caches, and the allocator
takes what the first clients and the first overload need."""
_GROWTH_SHARE: Final = 0.05
_GROWTH_BYTES: Final = 8 << 20
_GROWTH_FDS: Final = 24
"""Hostile clients come and go in packs of twenty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A process at one moment."""

    resident_bytes: int
    fds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """Medians of the first and of the last third."""

    first: Sample
    last: Sample

    @property
    def growth_bytes(self) -> int:
        """By how much the memory grew."""
        return self.last.resident_bytes - self.first.resident_bytes

    def faults(self) -> list[str]:
        """What is not flat, in words with numbers."""
        found: list[str] = []
        allowed = max(_GROWTH_BYTES, int(_GROWTH_SHARE * self.first.resident_bytes))
        if self.growth_bytes > allowed:
            found.append(
                f"memory grew from {self.first.resident_bytes / 1e6:.1f} MB "
                f"to {self.last.resident_bytes / 1e6:.1f} MB"
            )
        if self.last.fds - self.first.fds > _GROWTH_FDS:
            found.append(f"descriptors grew from {self.first.fds} to {self.last.fds}")
        return found


def plateau(samples: Sequence[Sample]) -> Plateau | None:
    """Compare the thirds; None for a life too short to judge."""
    if len(samples) < _LEAST:
        return None
    third = len(samples) // 3
    return Plateau(first=_median(samples[:third]), last=_median(samples[-third:]))


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        resident_bytes=int(statistics.median(each.resident_bytes for each in samples)),
        fds=int(statistics.median(each.fds for each in samples)),
    )


@contextmanager
def sampling(pid: int) -> Iterator[list[Sample]]:
    """Fill a list while inside; it ends by itself when the process does."""
    samples: list[Sample] = []
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(_EVERY_S):
            try:
                held = usage(pid).resident_bytes
                samples.append(Sample(resident_bytes=held, fds=_open_fds(pid)))
            except (WrongAnswerError, OSError, KeyError):
                return  # it is gone, or a zombie without memory

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


def _open_fds(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
