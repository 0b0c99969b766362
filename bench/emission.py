"""The emitter in a process of its own: writes events to a pinned perf map at a steady rate."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.emitter import Emitted, Emitter
from bench.errors import WrongAnswerError
from observer.kernel import syscall
from observer.samples import SAMPLE_BYTES

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_TICK_S: Final = 0.001
_MOST_LATE_S: Final = 0.01
"""What could not be written in time comes later, not all at once: bursts that no traffic has would
fill the rings, and what is lost would be the emitter's doing."""
_ANSWER_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one order to emit came to."""

    emitted: Emitted
    seconds: float

    @property
    def per_second(self) -> float:
        """Events a second that were really written."""
        return self.emitted.written / self.seconds


class Emission:
    """The emitting process, as its parent sees it."""

    def __init__(self, orders: "Connection[tuple[int, int], Run]") -> None:
        self._orders = orders

    def emit(self, count: int, per_second: int) -> Run:
        """Write so many events at that rate, and wait until they are written.

        Raises:
            WrongAnswerError: the process died.
        """
        try:
            self._orders.send((count, per_second))
            if not self._orders.poll(_ANSWER_S):
                raise WrongAnswerError(f"emit {count} events: no answer for too long")
            return self._orders.recv()
        except (EOFError, OSError) as error:
            raise WrongAnswerError(f"emit {count} events: the emitter died") from error


@contextmanager
def emitting(
    samples: Path, ring_map: Path, node_counters: Path | None = None
) -> Iterator[Emission]:
    """Start the process: `samples` is a file of whole samples, a power of two of them.

    `node_counters` is where the node's counters are pinned, if it shall count there too.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(samples, ring_map, node_counters, theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield Emission(ours)
    finally:
        ours.close()
        process.join(_ANSWER_S)


def _serve(
    samples: Path,
    ring_map: Path,
    node_counters: Path | None,
    orders: "Connection[Run, tuple[int, int]]",
) -> None:
    fds = [syscall.open_pin(path) for path in (ring_map, node_counters) if path is not None]
    rows = np.fromfile(samples, np.uint8).reshape(-1, SAMPLE_BYTES)
    with Emitter(rows, *fds) as emitter:
        try:
            while True:
                count, per_second = orders.recv()
                orders.send(_emit(emitter, count, per_second))
        except EOFError:
            for fd in fds:
                os.close(fd)


def _emit(emitter: Emitter, count: int, per_second: int) -> Run:
    before, started = emitter.counts(), time.monotonic()
    done, begin = 0, started
    while done < count:
        now = time.monotonic()
        begin = max(begin, now - done / per_second - _MOST_LATE_S)
        due = min(count, int((now - begin) * per_second))
        emitter.emit(due - done)
        done = due
        time.sleep(_TICK_S)
    after, seconds = emitter.counts(), time.monotonic() - started
    delta = Emitted(written=after.written - before.written, refused=after.refused - before.refused)
    return Run(emitted=delta, seconds=seconds)
