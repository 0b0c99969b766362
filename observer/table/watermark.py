"""The watermark of a table: no row with an earlier time will be appended.

Every row raises it to its own time. Who knows that nothing older can come any more (the rings, once
they were looked at) raises it further, so that readers of a quiet node hear how far it is.
Looking costs a little, so it is done often only while somebody watches.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Watermark:
    """A time that only rises; on one event loop."""

    def __init__(self) -> None:
        self.time_ns = 0
        """Wall time; 0 before the first row."""
        self._watchers = 0

    def raise_to(self, time_ns: int) -> None:
        """Promise that nothing older will come; a time that is passed already changes nothing."""
        self.time_ns = max(self.time_ns, time_ns)

    def is_watched(self) -> bool:
        """Whether somebody waits for it to rise."""
        return self._watchers > 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch it for the length of a `with`."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
