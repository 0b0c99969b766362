"""The load of a soak: as much as the machine takes, and every now and then far more.

A machine that others use too, or a small one, cannot take the rate that was asked for. So the
steady rate gives way after a round with losses and comes back after one without; what it came to is
a figure of the soak. In an overload nearly all is lost, and must be counted all the same.
"""

from dataclasses import dataclass
from typing import Final

_OVERLOAD: Final = 12
"""Times the rate that was asked for: more than two CPUs read, decode and serve."""
_OVERLOAD_EVERY: Final = 4
_TOLERABLE: Final = 0.003
"""Share of events; one in a thousand is made so that it cannot be decoded."""
_BACK_OFF: Final = 0.7
_COME_BACK: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A while of load, and what became of it."""

    is_overload: bool
    per_second: float
    """Events that were really written."""
    written: int
    lost: int

    @property
    def lost_share(self) -> float:
        """Of what was written."""
        return self.lost / self.written if self.written else 0.0


class Load:
    """Says how fast the next round shall be, by how the ones before went."""

    def __init__(self, asked_per_second: int) -> None:
        self._asked = asked_per_second
        self._steady = float(asked_per_second)
        self.rounds: list[Round] = []

    @property
    def steady_per_second(self) -> int:
        """What the machine is thought to take."""
        return int(self._steady)

    @property
    def next_is_overload(self) -> bool:
        """Whether the next round is one of far too much."""
        return len(self.rounds) % _OVERLOAD_EVERY == _OVERLOAD_EVERY - 1

    @property
    def next_per_second(self) -> int:
        """How fast the next round shall be."""
        return self._asked * _OVERLOAD if self.next_is_overload else self.steady_per_second

    def took(self, done: Round) -> None:
        """Note how a round went."""
        self.rounds.append(done)
        if done.is_overload:
            return
        factor = _BACK_OFF if done.lost_share > _TOLERABLE else _COME_BACK
        self._steady = min(self._asked, self._steady * factor)
