"""How long a server keeps a connection: idle, age, and the grace after it.

A connection without calls for ``max_connection_idle_s``, or older than ``max_connection_age_s``,
is asked to go (GOAWAY, as at shutdown); after ``max_connection_age_grace_s`` more it is closed.
Ages differ by a tenth, so that clients that came together do not come back together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from api.lane.limits import Limits

_AGE_SPREAD = 0.1


class Guest(Protocol):
    """What a lifetime needs of a connection."""

    idle_since: float | None
    """Time of the loop's clock when the last call ended; None while there are calls."""

    def drain(self, reason: str) -> None:
        """Ask the client to go."""

    def close(self, reason: str) -> None:
        """End all calls with UNAVAILABLE and close."""


class Lifetime:
    """Ends one connection in time, from :meth:`start` to :meth:`stop`."""

    __slots__ = ("_guest", "_limits", "_loop", "_random", "_timers")

    def __init__(
        self,
        guest: Guest,
        *,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        random: Callable[[], float],
    ) -> None:
        self._guest = guest
        self._limits = limits
        self._loop = loop
        self._random = random
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Begin to count."""
        if self._limits.max_connection_idle_s is not None:
            self._look_in(self._limits.max_connection_idle_s, self._limits.max_connection_idle_s)
        age_s = self._limits.max_connection_age_s
        if age_s is not None:
            spread = 1 + _AGE_SPREAD * (2 * self._random() - 1)
            self._timers["age"] = self._loop.call_later(age_s * spread, self._aged)

    def stop(self) -> None:
        """Count no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look_in(self, delay_s: float, idle_s: float) -> None:
        self._timers["idle"] = self._loop.call_later(delay_s, self._look, idle_s)

    def _look(self, idle_s: float) -> None:
        since = self._guest.idle_since
        left_s = idle_s if since is None else since + idle_s - self._loop.time()
        if left_s > 0:
            self._look_in(left_s, idle_s)
        else:
            self._guest.drain("max_idle")

    def _aged(self) -> None:
        self._guest.drain("max_age")
        grace_s = self._limits.max_connection_age_grace_s
        if grace_s is not None:
            self._timers["age"] = self._loop.call_later(
                grace_s, self._guest.close, "max connection age and its grace are over"
            )
