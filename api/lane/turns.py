"""Turns: who has more work than fits in one goes on later, one of them in each pass of the loop.

What many hostile peers leave of their reads costs the others one turn a pass, not one turn each:

    pass 1: reads of all sockets, A's turn    pass 2: reads, B's turn    pass 3: reads, A's turn ...

What waits here is memory: the queue is bounded, and who finds it full has to go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WAITING = 64
"""A read is at most a quarter of a megabyte: all that wait hold 16 MB."""


class Turns:
    """A queue of those who wait for their next turn; make one for all who shall share."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], bool]] = deque()

    def add(self, work: Callable[[], bool]) -> bool:
        """Let ``work`` have turns until it returns True; False if too many wait already.

        What it raises ends its turns, and is the loop's to log.
        """
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append(work)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._give_one)
        return True

    def _give_one(self) -> None:
        work = self._waiting[0]
        is_done = True
        try:
            is_done = work()
        finally:
            self._waiting.popleft()
            if not is_done:
                self._waiting.append(work)
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._give_one)
