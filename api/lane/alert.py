"""TLS alerts: what a server says to a client whose handshake it refuses, and a client's words.

OpenSSL writes the alert (certificate required, unknown ca, ...) where its transport would take it
from, but asyncio's and uvloop's transports close at once, and the client sees nothing but the end.
So ``AlertingContext`` keeps the alert with the error, and ``Acceptor`` sends it on a duplicate of
the socket.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

_LEFTOVERS_BYTES = 65_536


class HandshakeRefusedError(ssl.SSLError):
    """A handshake that failed here, with the bytes for the client that say so."""

    def __init__(self, error: ssl.SSLError, alert: bytes) -> None:
        super().__init__(*error.args)
        self.reason = error.reason
        self.alert = alert


class _Handshake(ssl.SSLObject):
    """A TLS connection that knows where its bytes go."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Go on with the handshake; raises HandshakeRefusedError where it fails for good."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise HandshakeRefusedError(error, self.outgoing.read()) from error


class AlertingContext(ssl.SSLContext):
    """A server's context whose failing handshakes raise HandshakeRefusedError."""

    sslobject_class = _Handshake

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Return the TLS connection between two buffers."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        if isinstance(made, _Handshake):
            made.outgoing = outgoing
        return made


async def send_alert(sock: socket.socket, alert: bytes, *, longest_s: float) -> None:
    """Send an alert and let the client read it: up to its end, or for so long.

    A socket that is closed with unread bytes is reset, and the client may then miss the alert.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(longest_s):
            await loop.sock_sendall(sock, alert)
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, _LEFTOVERS_BYTES):
                pass
    except (OSError, TimeoutError):
        return


def alert_text(error: BaseException | None) -> str:
    """Return what an alert of the peer says, in grpc-go's wrapping; empty for other errors."""
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    _, mark, words = reason.partition("_ALERT_")
    return f"remote error: tls: {words.lower().replace('_', ' ')}" if mark else ""
