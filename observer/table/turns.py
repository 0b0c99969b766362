"""Turns: readers of a table share one event loop, and only one of them works in a pass of it.

A turn takes most of the 2 ms for which the loop may be held. Two in the same pass would hold it for
twice as long before a packet, a timer or the writer of the table is looked at:

    pass of the loop      1      2      3      4
    reader a              turn          turn
    reader b                     turn          turn
"""

import asyncio
from collections import deque


class Turns:
    """First come, first served; who is alone never waits."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        """In this pass, or handed over to a reader that wakes up in the next one."""

    async def next(self) -> None:
        """Wait until this pass of the loop is ours; cancelling it leaves nothing behind."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._hand_over, loop)
            return
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the next pass to who waits longest; called once in a pass while there is anybody."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # else its reader was cancelled
                future.set_result(None)
                loop.call_soon(self._hand_over, loop)
                return
        self._is_taken = False
