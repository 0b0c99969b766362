"""The connection sweep: what is over leaves the map, and what nobody told yet is told.

One call looks at a slice of the map, decides over it as columns, and hands the keys to the `sweep`
program, which takes the counts, writes the events and removes. So no count is lost with an entry,
and no call holds the loop for long. When the map is nearly full, the oldest of each slice go too.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.kernel import layout, syscall

_OVER_FULL: Final = 0.9
_EVICTED_SHARE: Final = 0.2
_TCP: Final = 6
_FIN, _RST = 0x01, 0x04
_EXPERIMENTAL_ETHERTYPE: Final = b"\x88\xb5"

Records = NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """When a connection is over."""

    tcp_idle_ns: int
    other_idle_ns: int
    closed_ns: int
    quiet_ns: int
    """Without an event for so long, what is untold is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What one slice brought."""

    visited: int
    """Entries looked at."""
    reported: int
    """Events written."""
    removed: int
    kept: int
    """Were to go, but had traffic meanwhile or could not be told: the next pass sees them."""
    wrapped: bool
    """The slice reached the end of the map; the next begins anew."""


class Sweep:
    """Goes round and round through the connection map."""

    def __init__(self, *, map_fd: int, program_fd: int, capacity: int) -> None:
        self._map_fd = map_fd
        self._program_fd = program_fd
        self._capacity = capacity
        self._position: bytes | None = None

    def slice(self, *, budget: int, now_ns: int, held: int, timeouts: Timeouts) -> SweepReport:
        """Look at about `budget` entries; `held` is how many the map has."""
        keys, values = self._read(budget)
        actions = decide(keys, values, now_ns=now_ns, timeouts=timeouts)
        if held > self._capacity * _OVER_FULL:
            actions = _evict_oldest(actions, values)
        chosen = np.flatnonzero(actions)
        reported = removed = kept = 0
        for start in range(0, len(chosen), layout.SWEEP_MAX_REQUESTS):
            rows = chosen[start : start + layout.SWEEP_MAX_REQUESTS]
            verdict = run_requests(
                self._program_fd, _requests(keys[rows], values[rows], actions[rows])
            )
            reported += verdict & 0xFF
            removed += verdict >> 8 & 0xFF
            kept += verdict >> 16 & 0xFF
        return SweepReport(
            visited=len(keys),
            reported=reported,
            removed=removed,
            kept=kept,
            wrapped=self._position is None,
        )

    def _read(self, budget: int) -> tuple[Records, Records]:
        """The next entries. A bucket is never split: a slice too small for one is doubled."""
        while True:
            keys = np.zeros(budget, layout.CONNECTION_KEY)
            values = np.zeros(budget, layout.CONNECTION)
            try:
                count, self._position = syscall.lookup_batch(
                    self._map_fd, self._position, keys, values
                )
            except OSError as error:
                if error.errno != 28 or budget >= self._capacity:  # ENOSPC
                    raise
                budget *= 2
                continue
            return keys[:count], values[:count]


def run_requests(program_fd: int, requests: Records) -> int:
    """Hand up to SWEEP_MAX_REQUESTS to the sweep program: its verdict, see bpf/sweep.c."""
    header = bytes(12) + _EXPERIMENTAL_ETHERTYPE
    frame = header.ljust(layout.SWEEP_HEADER_BYTES, b"\0") + requests.tobytes()
    return syscall.run_program(program_fd, frame).verdict


def decide(keys: Records, values: Records, *, now_ns: int, timeouts: Timeouts) -> NDArray[np.uint8]:
    """What to do with each connection: uint8, shape (n,), SWEEP_* or 0."""
    sides = values["side"]
    last_ns = sides["last_ns"].max(axis=1).astype(np.int64)
    flags = sides["flags_seen"]
    closed = ((flags[:, 0] | flags[:, 1]) & _RST) | (flags[:, 0] & flags[:, 1] & _FIN)
    answered = (sides["packets"] > 0).all(axis=1)
    idle_ns = np.where(
        (keys["protocol"] == _TCP) & answered, timeouts.tcp_idle_ns, timeouts.other_idle_ns
    )
    idle_ns[closed != 0] = timeouts.closed_ns
    idle_ns[(values["flags"] & layout.CONNECTION_REFUSED) != 0] = 0
    untold = sides["packets"] != sides["reported_packets"]
    quiet = untold & (sides["report_ns"].astype(np.int64) <= now_ns - timeouts.quiet_ns)
    actions = np.where(quiet.any(axis=1), layout.SWEEP_REPORT, 0).astype(np.uint8)
    actions[last_ns <= now_ns - idle_ns] = layout.SWEEP_REMOVE
    return actions


def _evict_oldest(actions: NDArray[np.uint8], values: Records) -> NDArray[np.uint8]:
    """Let the longest silent of the slice go; slices are random samples of the map."""
    count = int(len(values) * _EVICTED_SHARE)
    if count:
        last_ns = values["side"]["last_ns"].max(axis=1)
        oldest = np.argpartition(last_ns, count - 1)[:count]
        actions[oldest] = np.where(
            actions[oldest] == layout.SWEEP_REMOVE, layout.SWEEP_REMOVE, layout.SWEEP_EVICT
        )
    return actions


def _requests(keys: Records, values: Records, actions: NDArray[np.uint8]) -> Records:
    requests = np.zeros(len(keys), layout.SWEEP_REQUEST)
    requests["key"] = keys
    requests["packets"] = values["side"]["packets"].sum(axis=1)
    requests["action"] = actions
    return requests
