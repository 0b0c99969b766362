"""Hostile clients of a soak, a thread for each kind of attack, in a process of their own.

Some have a client certificate and attack behind the handshake, others do not get that far. Each
works on one connection until it is cut, then rests a moment: two CPUs are shared with the server,
and what one attack at full speed costs is measured by the tests of the lane.
"""

import contextlib
import multiprocessing
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.framing import PREFIX
from bench.hostile import (
    ALL_WINDOW,
    GARBAGE,
    HELLO,
    PING,
    SETTINGS,
    WIDE,
    http2,
    rapid_reset,
    request,
)
from bench.processes import beside, die_with_parent
from bench.soaking.lives import Place

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

_MANY: Final = 2_000
_PIECES: Final = 20
_HELD: Final = 20
_HOLD_S: Final = 3.0
_REST_S: Final = 0.25
_DIAL_S: Final = 10.0
_BLOCKED_S: Final = 0.2
_STREAMS: Final = 10
_HALF_HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # a ClientHello's beginning


def _endless() -> bytes:
    """Follow everything, many times, with windows that never fill."""
    message = observer_pb2.GetFlowsRequest(follow=True).SerializeToString()
    asked = PREFIX.pack(0, len(message)) + message
    streams = range(1, 2 * _STREAMS, 2)
    return WIDE + ALL_WINDOW + b"".join(request(each, GET_FLOWS, asked) for each in streams)


FLOODS: Final[dict[str, list[bytes]]] = {
    "ping": [HELLO, *[http2(PING, 0, 0, bytes(8)) * _MANY] * _PIECES],
    "settings": [HELLO, *[http2(SETTINGS, 0, 0) * _MANY] * _PIECES],
    "rapid reset": [HELLO, rapid_reset(GET_FLOWS, _MANY)],
    "garbage inside": [GARBAGE],
}
PLAIN_HOLDS: Final[dict[str, bytes]] = {
    "half-open TLS": _HALF_HELLO,
    "silence": b"",
    "garbage": GARBAGE,
}
NEVER_READING: Final = "never reading"
ATTACKS: Final = (*FLOODS, *PLAIN_HOLDS, NEVER_READING)


@contextmanager
def attackers(place: Place) -> Iterator[Callable[[], dict[str, int]]]:
    """Attack until left; gives how often each attack was carried out so far."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("Q", len(ATTACKS))
    files = place.certificates
    with beside(_run, place.port, files.client, files.client_key, counts):
        yield lambda: dict(zip(ATTACKS, counts[:], strict=True))


def _run(port: int, certificate: Path, key: Path, counts: "SynchronizedArray[int]") -> None:
    die_with_parent()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    threads = [
        threading.Thread(target=_repeat, args=(name, port, context, counts)) for name in ATTACKS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(
    name: str, port: int, context: ssl.SSLContext, counts: "SynchronizedArray[int]"
) -> None:
    while True:
        with contextlib.suppress(OSError):  # cut off, or the server is being restarted
            _attack(name, port, context)
            counts[ATTACKS.index(name)] += 1
        time.sleep(_REST_S)


def _attack(name: str, port: int, context: ssl.SSLContext) -> None:
    if name in PLAIN_HOLDS:
        _hold(port, PLAIN_HOLDS[name])
        return
    with _dial(port) as plain, context.wrap_socket(plain) as secure:
        if name == NEVER_READING:
            secure.sendall(_endless())
            time.sleep(_HOLD_S)
            return
        secure.settimeout(_BLOCKED_S)
        with contextlib.suppress(OSError):
            for piece in FLOODS[name]:
                secure.sendall(piece)
            secure.recv(1 << 16)


def _hold(port: int, said: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(_HELD):
            held = stack.enter_context(_dial(port))
            with contextlib.suppress(OSError):
                held.sendall(said)
        time.sleep(_HOLD_S)


def _dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), _DIAL_S)
