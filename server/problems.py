"""What is wrong at present, logged once when it begins and once when it ends.

A round of reconciling meets the same trouble again and again (a pod without interface, a map that
is full); this keeps the log to what is new, and the present list for whoever asks.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong."""

    about: str
    """The thing: `Pod default/xwing`, `interface eth0`, `interfaces`."""
    reason: str
    since_ns: int
    """Wall time at which it was met first."""

    def __str__(self) -> str:
        return f"{self.about}: {self.reason}"


class Problems:
    """Problems by what they are about, from round to round."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._known: dict[str, Problem] = {}
        self._met: dict[str, Problem] = {}

    @property
    def present(self) -> tuple[str, ...]:
        """What was wrong in the last whole round: `about: reason`."""
        return tuple(map(str, self._known.values()))

    def listed(self) -> tuple[Problem, ...]:
        """The same, each with the time since which there is something wrong with the thing."""
        return tuple(self._known.values())

    def meet(self, about: str, reason: str) -> None:
        """Say that something is wrong in this round; the first word about a thing counts."""
        if about in self._met:
            return
        known = self._known.get(about)
        since_ns = known.since_ns if known else self._wall_ns()
        self._met[about] = Problem(about=about, reason=reason, since_ns=since_ns)
        if known is None or known.reason != reason:
            logger.warning("problem about=%r reason=%r", about, reason)

    def end_round(self) -> None:
        """Say that all has been looked at: what was not met again is over."""
        for about in self._known.keys() - self._met.keys():
            logger.info("problem over about=%r", about)
        self._known, self._met = self._met, {}
