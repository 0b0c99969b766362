"""One life of the connection to a node: its channels, and why it ended.

The link makes and ends it; streams take a channel from it and ask for the reason when they break.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from api.lane.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api.lane.client import Channel
    from api.lane.status import RpcError

STREAMS_EACH: Final = 90
"""Streams on one channel; servers take a hundred on one connection, and we ask small things too."""

_MOST_UNREAD_BYTES: Final = 16 << 20
_WIDEST_BYTES: Final = 1 << 20
_NARROWEST_BYTES: Final = 64 << 10


def limits_among(nodes: int) -> Limits:
    """Return what the connection to one of so many nodes may hold.

    A stream that a slow client does not read keeps its window in memory: all of its streams
    together some 16 MiB. Wide windows are better where nodes are few: less coming and going.
    """
    window_bytes = min(max(_MOST_UNREAD_BYTES // max(nodes, 1), _NARROWEST_BYTES), _WIDEST_BYTES)
    # one stream that nobody reads must not hold up the others: room for all that there may be
    return Limits(stream_window_bytes=window_bytes, connection_window_bytes=100 * window_bytes)


class NodeConnection:
    """One life of a link, from the first answer of the node to the last.

    A node takes a hundred streams on one connection: more of them get more connections.
    """

    def __init__(self, channel: Channel, another: Callable[[], Channel]) -> None:
        self.channel = channel
        """For short calls."""
        self._another = another
        self._streams: dict[Channel, int] = {channel: 0}
        self.over = asyncio.Event()
        self.reason: RpcError | None = None
        """Why we ended it, if we did; streams that broke with it say this."""

    @contextmanager
    def for_stream(self) -> Iterator[Channel]:
        """Give a channel that has room for one more stream, for the length of a block."""
        found = next((each for each, n in self._streams.items() if n < STREAMS_EACH), None)
        channel = self._another() if found is None else found
        self._streams[channel] = self._streams.get(channel, 0) + 1
        try:
            yield channel
        finally:
            self._streams[channel] -= 1

    async def close(self) -> None:
        """Close all its channels."""
        for channel in self._streams:
            await channel.close()

    def end(self, reason: RpcError) -> None:
        """End it for a reason; the first one counts."""
        if self.reason is None:
            self.reason = reason
        self.over.set()

    async def ended(self) -> None:
        """Wait until somebody has ended it; raises the reason."""
        await self.over.wait()
        if self.reason is not None:
            raise self.reason
