"""Who is turned away, why, and how often is too often.

A peer may be slow, wrong or hostile; none of it may cost the others. Rates are counted in windows
of one second per connection, so a burst of at most twice the limit passes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Refusal(StrEnum):
    """Why a stream or connection was turned away; the keys of ``Statistics.refused``."""

    ALPN = "alpn"
    PREFACE = "preface"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    FRAME_SIZE = "frame_size"
    PROTOCOL = "protocol"
    CONTROL_FLOOD = "control_flood"
    WINDOW_FLOOD = "window_flood"
    RESET_FLOOD = "reset_flood"
    BACKLOG = "backlog"
    STREAM_LIMIT = "stream_limit"
    DRAINING = "draining"


NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
FLOW_CONTROL_ERROR = 0x3
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB


class PeerRefusedError(Exception):
    """The connection must end: the reason to count, and the HTTP/2 error code for GOAWAY."""

    def __init__(self, reason: Refusal, error_code: int) -> None:
        super().__init__(f"refuse peer: {reason}")
        self.reason = reason
        self.error_code = error_code


class RateGuard:
    """Counts one kind of frame of one connection; refuses the peer above a rate per second."""

    __slots__ = ("_clock", "_count", "_limit", "_reason", "_window")

    def __init__(self, reason: Refusal, limit: int, clock: Callable[[], float]) -> None:
        self._reason = reason
        self._limit = limit
        self._clock = clock
        self._window = 0
        self._count = 0

    def count(self) -> None:
        """Count one frame.

        Raises:
            PeerRefusedError: more than the limit in this second.
        """
        window = int(self._clock())
        if window != self._window:
            self._window = window
            self._count = 0
        self._count += 1
        if self._count > self._limit:
            raise PeerRefusedError(self._reason, ENHANCE_YOUR_CALM)
