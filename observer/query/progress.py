"""Progress: how far a stream is, told to those who merge it with others.

Who merges the streams of several nodes by time cannot pass on a flow before each of them has said
that nothing older will follow. A node that is quiet, or a filter that rarely matches, would hold
back all others; so a stream that is asked for it says so itself where nothing else was sent for
a while. Times of such a stream never run backwards.
"""

from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 0.01
"""How often, unless somebody asks for less: one who listens to hundreds of nodes."""


class Progress:
    """When one stream is due to say how far it is."""

    def __init__(
        self, *, wanted: bool, clock_s: Callable[[], float], interval_s: float = INTERVAL_S
    ) -> None:
        self.wanted = wanted
        self._clock_s = clock_s
        self._interval_s = interval_s
        self._due_s = clock_s() + interval_s

    def sent(self) -> None:
        """Note that something was sent, which says as much."""
        if self.wanted:
            self._due_s = self._clock_s() + self._interval_s

    @property
    def wait_s(self) -> float | None:
        """How long until it is due; None if nobody wants to hear it."""
        return max(self._due_s - self._clock_s(), 0.0) if self.wanted else None

    @property
    def is_due(self) -> bool:
        """Whether to say it now."""
        return self.wanted and self._clock_s() >= self._due_s
