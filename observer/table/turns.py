"""Turns: those who work on a table share one event loop, and only one of them has a pass of it.

A turn takes most of the 2 ms for which the loop may be held. Two in the same pass would hold it for
twice as long before a packet or a timer is looked at. The writer goes before all readers, since
what it does not take in time is lost:

    pass of the loop      1      2      3      4      5      6
    writer                turn          turn          (nothing has come)
    reader a                     turn                 turn
    reader b                                   turn          turn
"""

import asyncio
from collections import deque


class Turns:
    """First come, first served, but for the writer; who is alone never waits."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        """In this pass, or handed over to somebody who wakes up in the next one."""

    async def next(self, *, is_writer: bool = False) -> None:
        """Wait until this pass of the loop is ours; cancelling it leaves nothing behind."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._hand_over, loop)
            return
        future: asyncio.Future[None] = loop.create_future()
        if is_writer:
            self._waiting.appendleft(future)
        else:
            self._waiting.append(future)
        await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the next pass to who waits longest; called once in a pass while there is anybody."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # else who waited was cancelled
                future.set_result(None)
                loop.call_soon(self._hand_over, loop)
                return
        self._is_taken = False
