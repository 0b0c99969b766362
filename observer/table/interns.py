"""Intern tables: values that many rows share stand once, rows hold a number (`ref`).

Refs begin at 1, 0 is "none". A ref is held by the rows that contain it and by those who pinned
it; when the last of them lets go, the entry is freed and its number is given out again. So
the tables stay as small as what the flow table shows. Caches keyed by ref (masks of filters,
encoded fragments) follow `version` and `on_freed`.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from observer.entities import Endpoint, Interface, PolicyRef, Service

T = TypeVar("T", bound=Hashable)

_FIRST_LENGTH = 64
_REMEMBERED = 256


class InternTable(Generic[T]):
    """Values by ref, counted by their holders."""

    def __init__(self) -> None:
        self.version = 0
        """Grows whenever an entry is added or freed."""
        self._refs: dict[T, int] = {}
        self._values: dict[int, T] = {}
        self._free: list[int] = []
        self._holders = np.zeros(_FIRST_LENGTH, np.int64)
        self._size = 1
        self._on_freed: list[Callable[[list[int]], None]] = []
        self._last_freed: deque[tuple[int, list[int]]] = deque(maxlen=_REMEMBERED)
        """By version, ascending: which refs were freed when it came."""

    def ref(self, value: T) -> int:
        """Find or add a value; a new one has no holder until it is retained or pinned."""
        ref = self._refs.get(value)
        if ref is not None:
            return ref
        ref = self._free.pop() if self._free else self._grow()
        self._refs[value] = ref
        self._values[ref] = value
        self.version += 1
        return ref

    def __getitem__(self, ref: int) -> T:
        return self._values[ref]

    def get(self, ref: int) -> T | None:
        """Return the value of a ref; None if it is free."""
        return self._values.get(ref)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def size(self) -> int:
        """All refs ever given are below this: the length of a mask by ref."""
        return self._size

    def items(self) -> Iterator[tuple[int, T]]:
        """Walk the live entries; a snapshot is not taken, so add nothing meanwhile."""
        return iter(self._values.items())

    def holders(self, ref: int) -> int:
        """Count the rows and pins that hold a ref."""
        return int(self._holders[ref])

    def retain(self, refs: NDArray[np.int32]) -> None:
        """Let each element of a column (any shape, 0 ignored) hold its entry."""
        if not refs.max(initial=0):
            return
        counts = np.bincount(refs.reshape(-1))
        self._holders[1 : len(counts)] += counts[1:]

    def release(self, refs: NDArray[np.int32]) -> None:
        """Let each element of a column go; entries that nobody holds any more are freed."""
        if not refs.max(initial=0):
            return
        counts = np.bincount(refs.reshape(-1))
        holders = self._holders[: len(counts)]
        holders[1:] -= counts[1:]
        counts[:1] = 0
        self._drop(np.flatnonzero((holders == 0) & (counts > 0)).tolist())

    def pin(self, ref: int) -> None:
        """Hold one entry for somebody who is not a row; pins add up."""
        self._holders[ref] += 1

    def unpin(self, ref: int) -> None:
        """Undo one pin."""
        self._holders[ref] -= 1
        if self._holders[ref] == 0:
            self._drop([ref])

    def on_freed(self, callback: Callable[[list[int]], None]) -> None:
        """Call back with the refs just freed, before any of them can be given out again."""
        self._on_freed.append(callback)

    def freed_since(self, version: int) -> list[int] | None:
        """Name the refs freed since a version, given out again or not; None if it is long ago."""
        forgotten = self._last_freed[0][0] if len(self._last_freed) == _REMEMBERED else 0
        if version < forgotten:
            return None
        return [ref for at, refs in self._last_freed if at > version for ref in refs]

    def _grow(self) -> int:
        ref = self._size
        self._size += 1
        if self._size > len(self._holders):
            self._holders = np.concatenate([self._holders, np.zeros_like(self._holders)])
        return ref

    def _drop(self, refs: list[int]) -> None:
        if not refs:
            return
        for ref in refs:
            del self._refs[self._values.pop(ref)]
        for callback in self._on_freed:
            callback(refs)
        self._free.extend(refs)
        self.version += 1
        self._last_freed.append((self.version, refs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interns:
    """The intern tables of one flow table, one for each kind of `_ref` column."""

    endpoints: InternTable[Endpoint] = field(default_factory=InternTable)
    services: InternTable[Service] = field(default_factory=InternTable)
    names: InternTable[tuple[str, ...]] = field(default_factory=InternTable)
    addresses: InternTable[bytes] = field(default_factory=InternTable)
    interfaces: InternTable[Interface] = field(default_factory=InternTable)
    policies: InternTable[tuple[PolicyRef, ...]] = field(default_factory=InternTable)
