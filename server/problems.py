"""What is wrong at present, logged once when it begins and once when it ends.

A round of reconciling meets the same trouble again and again (a pod without interface, a map that
is full); this keeps the log to what is new, and the present list for whoever asks.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class Problems:
    """Problems by what they are about, from round to round."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._met: dict[str, str] = {}

    @property
    def present(self) -> tuple[str, ...]:
        """What was wrong in the last whole round: `about: reason`."""
        return tuple(f"{about}: {reason}" for about, reason in self._known.items())

    def meet(self, about: str, reason: str) -> None:
        """Say that something is wrong in this round; the first word about a thing counts."""
        if about in self._met:
            return
        self._met[about] = reason
        if self._known.get(about) != reason:
            logger.warning("problem about=%r reason=%r", about, reason)

    def end_round(self) -> None:
        """Say that all has been looked at: what was not met again is over."""
        for about in self._known.keys() - self._met.keys():
            logger.info("problem over about=%r", about)
        self._known, self._met = self._met, {}
