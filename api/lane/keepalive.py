"""Does a silent peer still live? PING it, and give it up when nothing comes back.

A peer that is gone without a word (power lost, cable cut, NAT entry expired) looks like one that
has nothing to say. Anything received counts as life, so a busy connection is never pinged:

    heard ──silence_s──► PING ──timeout_s──► nothing heard: on_dead
      ▲                    └── anything heard ──┐
      └─────────────────────────────────────────┘

Receiving costs one time stamp; there is one timer per connection, so a peer that answers is asked
again after the longer of the two times at the earliest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

PAYLOAD = b"lane-alv"
"""What our keepalive PING carries: 8 bytes."""


class KeptPeer(Protocol):
    """What keepalive needs of a connection."""

    heard_at: float
    """Time of the loop's clock when the peer last sent anything."""

    def wants_keepalive(self) -> bool:
        """Return whether the peer's death would matter now."""

    def ping(self, payload: bytes) -> None:
        """Send a PING."""

    def on_dead(self) -> None:
        """Give the peer up."""


class Keepalive:
    """Watches one connection from :meth:`start` to :meth:`stop`."""

    __slots__ = ("_loop", "_peer", "_silence_s", "_timeout_s", "_timer")

    def __init__(
        self,
        peer: KeptPeer,
        *,
        silence_s: float,
        timeout_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._peer = peer
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._timer = self._loop.call_later(self._silence_s, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        silent_until = self._peer.heard_at + self._silence_s
        if now < silent_until:
            self._timer = self._loop.call_at(silent_until, self._look)
        elif self._peer.wants_keepalive():
            self._timer = self._loop.call_later(self._timeout_s, self._judge, self._peer.heard_at)
            self._peer.ping(PAYLOAD)
        else:
            self._timer = self._loop.call_later(self._silence_s, self._look)

    def _judge(self, heard_before: float) -> None:
        if self._peer.heard_at > heard_before:
            self._look()
        else:
            self._timer = None
            self._peer.on_dead()
