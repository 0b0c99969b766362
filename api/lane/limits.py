"""Every bound of the lane in one place, for both sides.

A connection holds at most: its read windows, one write chunk above ``write_high_bytes``, and the
streams it may have. What goes beyond ends the stream or the connection and is counted by reason
(``guard.Refusal``); nothing grows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one lane server or channel; the defaults suit a node and its relay."""

    max_message_bytes: int = 4 << 20
    """Largest message received, bytes; a larger one is RESOURCE_EXHAUSTED. gRPC's usual 4 MiB."""

    stream_window_bytes: int = 4 << 20
    """HTTP/2 window a peer gets for each stream, bytes: what may wait unread per call."""

    connection_window_bytes: int = 16 << 20
    """HTTP/2 window a peer gets for a connection, bytes; at least the protocol's 65,535."""

    max_streams: int = 100
    """Calls at once on one connection; a further one is refused, the connection lives on."""

    max_header_list_bytes: int = 32 << 10
    """Size of a header block, decoded and as received, bytes; a larger one ends the connection."""

    write_high_bytes: int = 256 << 10
    """Bytes waiting in the transport above which handlers wait: the buffer of a slow reader."""

    write_chunk_bytes: int = 256 << 10
    """Most bytes in one write, and most that a call sends before others get their turn."""

    control_backlog_bytes: int = 1 << 20
    """Answers to PING, SETTINGS and the like that may wait behind a peer who does not read."""

    control_frames_per_s: int = 4_000
    """PING, SETTINGS, PRIORITY, CONTINUATION, empty DATA and unknown frames per second from a peer.

    grpc-go's bandwidth estimator sends a PING per round trip, hundreds a second on loopback."""

    window_updates_per_s: int = 200_000
    """WINDOW_UPDATE frames per second; each costs a microsecond, honest readers send thousands."""

    resets_per_s: int = 200
    """RST_STREAM received plus streams refused per second: the bound on rapid reset."""

    small_data_bytes: int = 16
    """Mean payload of neighbouring DATA frames below which a server takes them for small, bytes; a
    client that sends whole messages, as all do, stays above with messages of 11 bytes."""

    small_data_frames_per_s: int = 10_000
    """Small DATA frames per second from a client: each costs what one of 16,384 bytes does."""

    turn_s: float = 0.000_2
    """Time for the frames of one connection before others get their turn, seconds. An answer takes
    four turns of each busy neighbour, and a call that meets none takes about 0.3 ms."""

    min_ping_interval_s: float = 1.0
    """A client's PING sooner than this after its last one, with nothing sent to it in between, is a
    strike, seconds. gRPC's servers want 300; a second costs nothing, and takes any keepalive."""

    max_ping_strikes: int = 2
    """Strikes a client may have; one more ends its connection with ``too_many_pings``."""

    keepalive_s: float | None = None
    """Silence of the peer after which it is asked by PING whether it lives, seconds; None: never.

    A client should not go below 300 with servers that are not ours: they take it for a flood."""

    keepalive_timeout_s: float = 20.0
    """Time the peer gets to answer that PING, or send anything, before its calls end, seconds."""

    keepalive_without_calls: bool = False
    """Whether a client asks also while no call is open. Servers always do."""

    max_connections: int = 1_000
    """Connections at once on each listening address; a further one is closed as it comes.

    Counted by address, so that strangers on TCP cannot lock out the unix socket."""

    max_connection_idle_s: float | None = None
    """Time without a call after which a server asks a client to go, seconds; None: never."""

    max_connection_age_s: float | None = None
    """Age at which a server asks a client to go, seconds, give or take a tenth; None: never.

    Clients then connect anew, which spreads them over new servers and new certificates."""

    max_connection_age_grace_s: float | None = None
    """Time that calls get after that before they end with UNAVAILABLE, seconds; None: any."""

    backoff_first_s: float = 1.0
    """Wait after the first failed dial of a call that waits for a server, seconds; then 1.6 times
    the last, give or take a fifth. gRPC's own numbers."""

    backoff_max_s: float = 120.0
    """The longest such wait, seconds, before the fifth is given or taken."""

    replay_bytes: int = 256 << 10
    """Requests kept to be sent again if the server says that it has not looked at the call."""

    handshake_s: float = 20.0
    """Time from TCP accept or dial to the peer's first SETTINGS, seconds. grpc-go's dial time."""

    close_s: float = 2.0
    """Time a closing connection gets to flush what is written, seconds; then it is cut.

    A client that still takes what a server sent, and says so, gets up to ``handshake_s``."""

    def __post_init__(self) -> None:
        if self.connection_window_bytes < 65_535:
            given = self.connection_window_bytes
            raise ValueError(f"set connection_window_bytes: need at least 65535, got {given}")


SERVER_LIMITS = Limits(
    stream_window_bytes=256 << 10,
    connection_window_bytes=1 << 20,
    keepalive_s=60.0,
    max_connection_idle_s=900.0,
)
"""What a server uses by default: requests are small, and unread ones are memory a stranger takes.

A request larger than its window still arrives, its window is given back while it comes in. Clients
that are gone without a word, and those who only hold a place, do not keep it."""
