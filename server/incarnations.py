"""Which of the devices that had the same index one after the other is meant.

An interface may be deleted and made anew with the index and MAC of the one before, faster than
anybody looks: nothing in a picture of the interfaces tells them apart, only the notice that the old
one was deleted. In: those notices. Out: a number for each index that is another one afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container


@dataclass(slots=True)
class Incarnations:
    """Numbers by index; holds those of deleted devices until `forget`."""

    _count: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)
    _others: int = 0
    """The number of an index that is not among them."""

    def deleted(self, index: int) -> None:
        """Learn that the device of this index is gone: the next one is another."""
        self._count += 1
        self._numbers[index] = self._count

    def missed(self) -> None:
        """Learn that notices were lost: every device may be another."""
        self._count += 1
        self._numbers, self._others = {}, self._count

    def of(self, index: int) -> int:
        """Tell the number of the device that has this index now."""
        return self._numbers.get(index, self._others)

    def copy(self) -> Incarnations:
        """Keep what is known at this moment."""
        return Incarnations(self._count, dict(self._numbers), self._others)

    def forget(self, but: Container[int]) -> None:
        """Forget indexes that no device has, as whoever saw them gone knows that already."""
        for index in [each for each in self._numbers if each not in but]:
            del self._numbers[index]
