"""Tells all who wait that something has changed; what, they see for themselves."""

from __future__ import annotations

import asyncio


class Changes:
    """A bell. Who waits looks first, with no await in between: what came before is not rung for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def next(self) -> None:
        """Wait until it rings; may be cancelled at any time."""
        await self._event.wait()
