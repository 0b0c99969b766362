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
    SMALL_DATA_FLOOD = "small_data_flood"
    TOO_MANY_PINGS = "too_many_pings"
    BACKLOG = "backlog"
    OVERLOAD = "overload"
    CONNECTION_LIMIT = "connection_limit"
    TLS_HANDSHAKE = "tls_handshake"
    KEEPALIVE = "keepalive"
    STREAM_LIMIT = "stream_limit"
    DRAINING = "draining"


NO_ERROR = 0x0
PROTOCOL_ERROR = 0x1
FLOW_CONTROL_ERROR = 0x3
FRAME_SIZE_ERROR = 0x6
REFUSED_STREAM = 0x7
CANCEL = 0x8
ENHANCE_YOUR_CALM = 0xB
_ERROR_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)


def error_code_name(error_code: int) -> str:
    """Return an HTTP/2 error code's name, or its number if it has none."""
    return _ERROR_NAMES[error_code] if error_code < len(_ERROR_NAMES) else str(error_code)


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

    def count(self, frames: int = 1) -> None:
        """Count frames.

        Raises:
            PeerRefusedError: more than the limit in this second.
        """
        window = int(self._clock())
        if window != self._window:
            self._window = window
            self._count = 0
        self._count += frames
        if self._count > self._limit:
            raise PeerRefusedError(self._reason, ENHANCE_YOUR_CALM)


class PingGuard:
    """Tells a client's keepalive from a flood of PING, by gRPC's rule of strikes.

    A PING too soon after the last one is a strike; what we send in between forgives all, since
    clients measure the path by a PING for each burst of data.
    """

    __slots__ = ("_clock", "_forgiven", "_interval_s", "_last", "_max_strikes", "_strikes")

    def __init__(self, *, interval_s: float, max_strikes: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._max_strikes = max_strikes
        self._last = -interval_s
        self._strikes = 0
        self._forgiven = True

    def forgive(self) -> None:
        """Note that DATA or HEADERS went to the client."""
        self._forgiven = True

    def count(self) -> None:
        """Count one PING.

        Raises:
            PeerRefusedError: one strike too many.
        """
        now = self._clock()
        if self._forgiven:
            self._strikes = 0
        elif now - self._last < self._interval_s:
            self._strikes += 1
        self._forgiven = False
        self._last = now
        if self._strikes > self._max_strikes:
            raise PeerRefusedError(Refusal.TOO_MANY_PINGS, ENHANCE_YOUR_CALM)
