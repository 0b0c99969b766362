"""Tables elsewhere (kernel maps, the address book) that are kept equal to what they should hold.

Only differences are written. What is refused is remembered as not written, so that the next round
tries again by itself; one refusal does not hold the others up. Work is done in slices of a
millisecond, so that the loop serves everybody else meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from observer.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.problems import Problems

K = TypeVar("K")
V = TypeVar("V")

SLICE_S = 0.001
REFUSALS = (KernelError, OSError)


class Pace:
    """Hands the loop over whenever a slice of time is used up."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._begun_s = clock()

    async def step(self) -> None:
        """Call between two small pieces of work."""
        if self._clock() - self._begun_s > SLICE_S:
            await asyncio.sleep(0)
            self._begun_s = self._clock()


def one_by_one(put: Callable[[K, V], object]) -> Callable[[Mapping[K, V]], None]:
    """A write of single entries as one of many."""

    def put_all(entries: Mapping[K, V]) -> None:
        for key, value in entries.items():
            put(key, value)

    return put_all


class Mirror(Generic[K, V]):
    """One table: what it holds, and how to write it."""

    def __init__(
        self,
        name: str,
        *,
        put: Callable[[Mapping[K, V]], None],
        drop: Callable[[K], None],
        problems: Problems,
        batch: int = 1,
    ) -> None:
        """Take the functions that write.

        Args:
            name: What its entries are, for messages.
            put: Adds or replaces up to `batch` entries, all or none; raises one of REFUSALS.
            drop: Removes an entry; raises one of REFUSALS.
            problems: Where refusals go.
            batch: How many entries `put` likes at once.
        """
        self._name = name
        self._put = put
        self._drop = drop
        self._problems = problems
        self._batch = batch
        self.held: dict[K, V] = {}
        """What was written last, by key."""
        self._doubtful: set[K] = set()
        """Keys of writes that failed, perhaps half-way: the table may hold anything there."""

    async def put_all(self, wanted: Mapping[K, V], pace: Pace) -> None:
        """Write what is new or different."""
        different = [key for key, value in wanted.items() if not self.holds(key, value)]
        for start in range(0, len(different), self._batch):
            await pace.step()
            entries = {key: wanted[key] for key in different[start : start + self._batch]}
            try:
                self._put(entries)
            except REFUSALS as error:
                self._doubtful |= entries.keys()
                self._meet("set", next(iter(entries)), error)
            else:
                self._doubtful -= entries.keys()
                self.held |= entries

    async def drop_rest(self, wanted: Mapping[K, V], pace: Pace) -> None:
        """Remove what is not wanted."""
        for key in (self.held.keys() | self._doubtful) - wanted.keys():
            await pace.step()
            try:
                self._drop(key)
            except REFUSALS as error:
                self._meet("remove", key, error)
            else:
                self._doubtful.discard(key)
                self.held.pop(key, None)

    def exceeds(self, wanted: Mapping[K, V]) -> bool:
        """Whether there is anything to drop."""
        return not self.held.keys() <= wanted.keys()

    def holds(self, key: K, value: V) -> bool:
        """Whether the table is known to hold just this."""
        return key not in self._doubtful and key in self.held and self.held[key] == value

    def _meet(self, verb: str, key: K, error: Exception) -> None:
        self._problems.meet(f"{self._name} {key}", f"{verb}: {error}")
