"""The backlog of a recorder: frames on their way from the event loop to the disk.

Bound by bytes, since frames are anything from a few bytes to a megabyte: a burst of small ones is
no reason to drop. What finds no room is not taken, and whoever offers it counts it. One thread
gives, another takes.
"""

import threading
from collections import deque


class Backlog:
    """Frames that wait, at most so many bytes; a larger one only while nothing else waits."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def offer(self, frame: bytes) -> bool:
        """Add a frame if there is room; whether there was. Never waits for the disk."""
        with self._changed:
            if not self._has_room(frame):
                return False
            self._add(frame)
            return True

    def put(self, frame: bytes) -> None:
        """Add a frame; waits for room."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(frame))
            self._add(frame)

    def take(self) -> bytes | None:
        """Take the oldest frame, waiting for one; None once it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._is_closed)
            if not self._frames:
                return None
            frame = self._frames.popleft()
            self._bytes -= len(frame)
            self._changed.notify_all()
            return frame

    def close(self) -> None:
        """Let the taker end when it has taken what waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _has_room(self, frame: bytes) -> bool:
        return not self._frames or self._bytes + len(frame) <= self._most_bytes

    def _add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._bytes += len(frame)
        self._changed.notify_all()
