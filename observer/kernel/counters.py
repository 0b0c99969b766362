"""Counts of the programs, and how many of the events they produced have been told.

The programs count per CPU. What programs of an earlier version counted in maps of another layout is
carried in a map of its own and added. An event is told when it has become a row or a lost one: that
number is pinned as well, so that what a killed process had not read yet, and what nobody read
after it, is told by the next one, once.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from observer.kernel import abi, syscall

_FIRST: Final = bytes(4)
_KINDS: Final = ("drop", "trace", "verdict", "debug")
_SNAPSHOTS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """Events that nobody told yet."""

    count: int
    since_wall_ns: int | None
    """When the last one before them was told; None: never."""


class Counters:
    """Sums over all CPUs."""

    def __init__(self, maps: Mapping[str, int], *, cpus: int) -> None:
        """Take descriptors of the maps by name, and how many CPUs there may be."""
        self._maps = maps
        self._cpus = cpus
        self._layouts = abi.layouts()
        # what is carried only grows while a process takes over, before anybody asks
        self._carried = read_named(maps["carried"], self._layouts["carried"], cpus=cpus)

    def read(self) -> dict[str, int]:
        """All counts since the first start; drops as `drop_<reason>`."""
        return self.events() | self._read("drops", prefix=abi.DROP)

    def events(self) -> dict[str, int]:
        """All but the drops, in one call: as nearly of one moment as can be."""
        return self._read("counters", prefix="")

    def _read(self, map_name: str, *, prefix: str) -> dict[str, int]:
        found = read_named(self._maps[map_name], self._layouts[map_name], cpus=self._cpus)
        names = ((f"{prefix}{name}", count) for name, count in found.items())
        return {name: count + self._carried[name] for name, count in names}


def read_named(map_fd: int, layout: abi.MapLayout, *, cpus: int) -> dict[str, int]:
    """Read an array of counts by name; those of all CPUs summed where it has one for each."""
    entries = syscall.map_info(map_fd).max_entries
    keys = np.zeros(entries, np.uint32)
    values = cpus if layout.kind == abi.PERCPU_ARRAY else 1
    found = np.zeros((entries, values), np.uint64)
    syscall.lookup_batch(map_fd, None, keys, found)
    sums = found.sum(axis=1).tolist()
    return {name: sums[index] for name, index in (layout.names or {}).items()}


class EventAccounts:
    """Who tells events says so here; what is missing is found again."""

    def __init__(self, counters: Counters, *, told_fd: int) -> None:
        self._counters = counters
        self._told_fd = told_fd
        value = syscall.lookup(told_fd, _FIRST, abi.TOLD.itemsize)
        events, wall_ns = np.frombuffer(value, abi.TOLD)[0].tolist()
        self._told = int(events)
        self._wall_ns = int(wall_ns)
        self._unread_told = 0

    def told(self, count: int) -> None:
        """So many more events have become rows, or lost ones. 5 µs."""
        self._told += count
        self._wall_ns = time.time_ns()
        value = np.array((self._told, self._wall_ns), abi.TOLD)
        syscall.update(self._told_fd, _FIRST, value.tobytes())

    def untold(self) -> Untold:
        """What no earlier process told; to be asked once, before rings are open.

        It counts as told only with the next call of `told`.
        """
        # packets go on meanwhile, and the two are not counted in one step; but while nobody reads
        # they grow alike, so that nearly all snapshots have the same difference
        snapshots = [self._sums() for _ in range(_SNAPSHOTS)]
        [(read, _)] = Counter(produced - unread for produced, unread in snapshots).most_common(1)
        self._unread_told = snapshots[-1][1]
        produced = read + self._unread_told
        # more were told than produced if somebody else wrote into the rings
        self._told = min(self._told, produced)
        return Untold(count=produced - self._told, since_wall_ns=self._wall_ns or None)

    def unread(self) -> int:
        """Events since the last call, or since `untold`, that found no ring open."""
        before, self._unread_told = self._unread_told, self._sums()[1]
        return self._unread_told - before

    def _sums(self) -> tuple[int, int]:
        """How many events were produced, and how many of them found no ring."""
        counts = self._counters.events()
        produced, unread = (
            sum(counts[f"{what}_{kind}"] for kind in _KINDS) for what in ("produced", "unread")
        )
        return produced, unread
