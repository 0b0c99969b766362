"""How late an event loop is: a kernel timer fires every 10 ms, the loop says when it got to it.

A timerfd and not `call_later`: libuv's clock has milliseconds, and a timer that is set again after
each call would not see that it missed some. Every expiry counts, also those of one look, so the
figures are those of a call that comes at any moment. They stand in a file of 20,000 counts, one
for each 50 us of lateness, which other processes read while it is written.
"""

import asyncio
import ctypes
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.errors import NotMeasurableError

_PERIOD_NS: Final = 10_000_000
_STEP_NS: Final = 50_000
_STEPS: Final = 20_000
"""One second; what is later counts there."""
_SIZE_BYTES: Final = _STEPS * 8
_TFD_TIMER_ABSTIME: Final = 1
_TIMES: Final = struct.Struct("=qqqq")
"""struct itimerspec: interval and first expiry, seconds and nanoseconds."""

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def lag_measured(path: Path) -> Iterator[None]:
    """Measure the running loop for the length of a `with`, into a new file.

    Raises:
        NotMeasurableError: the kernel refuses the timer.
    """
    path.write_bytes(bytes(_SIZE_BYTES))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), _SIZE_BYTES) as memory:
        counts = np.frombuffer(memory, np.uint64)
        first_ns = time.monotonic_ns() + _PERIOD_NS
        fd = _timer(first_ns)
        meter = _Meter(fd, first_ns, counts)
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, meter.look)
        try:
            yield
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            meter.counts = np.zeros(_STEPS, np.uint64)
            del counts  # a mapping cannot be closed while an array looks into it


def read_counts(path: Path) -> NDArray[np.uint64]:
    """Counts so far: uint64, shape (20000,), by steps of 50 us."""
    return np.fromfile(path, np.uint64)


def quantile_ms(counts: NDArray[np.uint64], fraction: float) -> float:
    """The lateness that `fraction` of the expiries did not exceed: upper end of its step, ms.

    Raises:
        ValueError: nothing was counted.
    """
    cumulated = counts.cumsum()
    if not cumulated[-1]:
        raise ValueError("take quantile of no expiries")
    step = int(np.searchsorted(cumulated, fraction * float(cumulated[-1])))
    return (step + 1) * _STEP_NS / 1e6


class _Meter:
    def __init__(self, fd: int, first_ns: int, counts: NDArray[np.uint64]) -> None:
        self._fd = fd
        self._due_ns = first_ns
        self.counts = counts

    def look(self) -> None:
        """Count every expiry since the last look by how long ago it was."""
        now_ns = time.monotonic_ns()
        try:
            expiries = int.from_bytes(os.read(self._fd, 8), "little")
        except BlockingIOError:
            return
        for _ in range(expiries):
            late_ns = max(0, now_ns - self._due_ns)
            self.counts[min(late_ns // _STEP_NS, _STEPS - 1)] += np.uint64(1)
            self._due_ns += _PERIOD_NS


def _timer(first_ns: int) -> int:
    fd = int(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    times = _TIMES.pack(0, _PERIOD_NS, *divmod(first_ns, 1_000_000_000))
    if fd < 0 or _libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, times, None) < 0:
        raise NotMeasurableError(f"make a timer: {os.strerror(ctypes.get_errno())}")
    return fd
