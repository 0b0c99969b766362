"""Tables elsewhere (kernel maps, the address book) that are kept equal to what they should hold.

Only differences are written. What is refused is remembered as not written, so that the next round
tries again by itself; one refusal does not hold the others up. A mapping that has been written
whole is known by its identity and not looked at again: give the same object while it is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from observer.kernel.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.pace import Pace
    from server.problems import Problems

K = TypeVar("K")
V = TypeVar("V")

REFUSALS = (KernelError, OSError)


def one_by_one(put: Callable[[K, V], object]) -> Callable[[Mapping[K, V]], None]:
    """Make a write of single entries as one of many."""

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
        shown: Callable[[K], str] = str,
    ) -> None:
        """Take the functions that write.

        Args:
            name: What its entries are, for messages.
            put: Adds or replaces up to `batch` entries, all or none; raises one of REFUSALS.
            drop: Removes an entry; raises one of REFUSALS.
            problems: Where refusals go.
            batch: How many entries `put` likes at once.
            shown: How messages name an entry.
        """
        self._name = name
        self._put = put
        self._drop = drop
        self._problems = problems
        self._batch = batch
        self._shown = shown
        self.held: dict[K, V] = {}
        """What was written last, by key."""
        self._doubtful: set[K] = set()
        """Keys of writes that failed, perhaps half-way: the table may hold anything there."""
        self._written: Mapping[K, V] | None = None
        self._cleared: Mapping[K, V] | None = None

    async def put_all(self, wanted: Mapping[K, V], pace: Pace) -> None:
        """Write what is new or different."""
        if wanted is self._written and not self._doubtful:
            return
        different: list[K] = []
        async for part in pace.slices(wanted.items()):
            different += [key for key, value in part if not self.holds(key, value)]
        for start in range(0, len(different), self._batch):
            await pace.step()
            self._write({key: wanted[key] for key in different[start : start + self._batch]})
        self._written = wanted

    async def drop_rest(self, wanted: Mapping[K, V], pace: Pace) -> None:
        """Remove what is not wanted."""
        for key in await self.excess(wanted, pace):
            await pace.step()
            try:
                self._drop(key)
            except REFUSALS as error:
                self._meet("remove", key, error)
            else:
                self._doubtful.discard(key)
                self.held.pop(key, None)
        self._cleared = wanted

    async def excess(self, wanted: Mapping[K, V], pace: Pace) -> list[K]:
        """Find what is to drop."""
        if wanted is self._cleared and len(self.held) <= len(wanted) and not self._doubtful:
            return []
        found: list[K] = []
        async for part in pace.slices([*self.held, *(self._doubtful - self.held.keys())]):
            found += [key for key in part if key not in wanted]
        return found

    def holds(self, key: K, value: V) -> bool:
        """Tell whether the table is known to hold just this."""
        if key not in self.held or key in self._doubtful:
            return False
        held = self.held[key]
        return held is value or held == value

    def _write(self, entries: Mapping[K, V]) -> None:
        try:
            self._put(entries)
        except REFUSALS as error:
            self._doubtful |= entries.keys()
            self._meet("set", next(iter(entries)), error)
        else:
            self._doubtful -= entries.keys()
            self.held |= entries

    def _meet(self, verb: str, key: K, error: Exception) -> None:
        self._problems.meet(f"{self._name} {self._shown(key)}", f"{verb}: {error}")
