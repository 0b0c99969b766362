"""Bytes that a hostile HTTP/2 client sends: for soaks, and for the tests of the lane.

Made by hand, frame by frame (RFC 9113 section 4), since no library sends such things.
"""

import struct
from typing import Final

DATA, HEADERS, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END, END_HEADERS = 1, 4
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ASKED: Final = b"\0\0\0\0\0"
_CANCEL: Final = b"\0\0\0\x08"


def http2(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Make a frame, whatever sense it has."""
    head = struct.pack(">BHBBI", 0, len(payload), kind, flags, stream_id)
    return head + payload


HELLO: Final = PREFACE + http2(SETTINGS, 0, 0)
WIDE: Final = PREFACE + http2(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1))
"""As HELLO, with the widest windows for streams."""
ALL_WINDOW: Final = http2(WINDOW, 0, 0, struct.pack(">I", 2**30))
GARBAGE: Final = bytes(range(256)) * 256


def request(stream_id: int, path: str, message: bytes = _ASKED) -> bytes:
    """Ask for a call with a prefixed message; the header block leaves the table as it was."""
    head = b"\x83\x86" + b"\x01\x01x" + b"\x04" + bytes([len(path)]) + path.encode()
    for key, value in (("te", "trailers"), ("content-type", "application/grpc")):
        head += b"\0" + bytes([len(key)]) + key.encode() + bytes([len(value)]) + value.encode()
    return http2(HEADERS, END_HEADERS, stream_id, head) + http2(DATA, END, stream_id, message)


def rapid_reset(path: str, count: int) -> bytes:
    """Ask for so many calls and take each back at once."""
    streams = range(1, 2 * count, 2)
    return b"".join(request(each, path) + http2(RST, 0, each, _CANCEL) for each in streams)
