"""The accounts of a life: what the emitter wrote against what the node and its readers had of it.

    written = told                                 kernel to server, over all lives
    written = flows that are rows + lost events    within a life
    written = read + lost and missed as told       within a life, for a reader

They hold exactly when nothing is on its way any more: the emitter rests and all have caught up.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from bench.errors import WrongAnswerError
from bench.soaking.readers import Read
from observer.kernel import abi, syscall

_SETTLE_S: Final = 40.0
_LOOK_S: Final = 0.2
_REST_S: Final = 2.5
"""Reports of losses come once a second, on either side."""
_NOTHING_READ: Final = Read(flows=0, reported=0, missed=0, lost_events=0, blind=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Where all counts stand at one moment."""

    written: int
    """Events that the emitter has written or tried to, in all lives."""
    told: int
    """Events that became rows or lost ones, in all lives, as the node has it pinned."""
    seen: int
    """Flows that became rows in this life."""
    read: Read
    """What this life's readers have."""

    @classmethod
    def at_birth(cls, told: int) -> Self:
        """A life begins with the events that the one before it did not tell."""
        return cls(written=told, told=told, seen=0, read=_NOTHING_READ)

    def faults(self, since: "Balance") -> list[str]:
        """What does not add up, in words with numbers; empty if all does."""
        now, then = self.read, since.read
        written = self.written - since.written
        seen = self.seen - since.seen
        lost = now.lost_events - then.lost_events
        flows, reported, missed = (
            now.flows - then.flows, now.reported - then.reported, now.missed - then.missed
        )  # fmt: skip
        found: list[str] = []
        if self.told != self.written:
            found.append(f"{self.written} events written in all, {self.told} told")
        if now.blind != then.blind:
            found.append(f"the reader of losses missed {now.blind - then.blind} events")
        if seen + lost != written:
            found.append(f"{written} written, {seen} flows + {lost} lost are {seen + lost}")
        if flows + reported + missed != written:
            found.append(
                f"{written} written, {flows} flows read + {reported} lost + {missed} "
                f"missed as told are {flows + reported + missed}"
            )
        return found


def settle(look: Callable[[], Balance], since: Balance) -> Balance:
    """Wait until all adds up.

    Raises:
        WrongAnswerError: it does not; with the numbers.
    """
    deadline = time.monotonic() + _SETTLE_S
    while True:
        balance = look()
        faults = balance.faults(since)
        if not faults:
            return balance
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"soak: ledger: {'; '.join(faults)}")
        time.sleep(_LOOK_S)


def at_rest(look: Callable[[], Balance]) -> Balance:
    """Wait until all events are told and nothing has moved for a while: a place to begin.

    Raises:
        WrongAnswerError: it does not come to rest; with the numbers.
    """
    deadline = time.monotonic() + _SETTLE_S
    before, since = look(), time.monotonic()
    while time.monotonic() - since < _REST_S or before.told != before.written:
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"soak: ledger: does not come to rest: {before}")
        time.sleep(_LOOK_S)
        now = look()
        if now != before:
            before, since = now, time.monotonic()
    return before


def events_told(pin: Path) -> int:
    """Read the node's pinned count of events told."""
    fd = syscall.open_pin(pin)
    try:
        value = syscall.lookup(fd, bytes(4), abi.TOLD.itemsize)
    finally:
        os.close(fd)
    return int(np.frombuffer(value, abi.TOLD)["events"][0])
