"""The outcome of a call: gRPC's status codes, and the error that carries one.

Texts follow grpc-go's spelling, because that is what people of the Hubble world have in their
scripts and search engines. The mappings to and from HTTP/2 follow the gRPC specification
(doc/PROTOCOL-HTTP2.md and doc/http-grpc-status-mapping.md). Nothing here does I/O.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from api.lane.metadata import Metadata


class Code(IntEnum):
    """A gRPC status code."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @property
    def go_name(self) -> str:
        """The name as grpc-go prints it: ``InvalidArgument``, and ``Canceled`` with one l."""
        match self:
            case Code.OK:
                return "OK"
            case Code.CANCELLED:
                return "Canceled"
            case _:
                return self.name.title().replace("_", "")


class RpcError(Exception):
    """A call that did not end with OK; handlers raise it, callers get it.

    ``details`` are the bytes of a google.rpc.Status (``grpc-status-details-bin``), ``trailing`` is
    the metadata that came, or shall go, with the status.
    """

    def __init__(
        self, code: Code, message: str, details: bytes = b"", trailing: Metadata = ()
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details
        self.trailing = trailing

    def __str__(self) -> str:
        return f"rpc error: code = {self.code.go_name} desc = {self.message}"


class UnprocessedError(RpcError):
    """The server said that it has not looked at the call: to send it again is safe."""


def parse_code(text: str) -> Code:
    """Return the code of a ``grpc-status`` value; what is not one of ours is UNKNOWN."""
    # isdecimal alone would let other scripts' digits through; 16 is the longest number we know.
    if len(text) <= 2 and text.isascii() and text.isdecimal() and int(text) in _CODES:
        return Code(int(text))
    return Code.UNKNOWN


def encode_message(message: str) -> str:
    """Percent-encode a status message: printable ASCII stays, all else and ``%`` is escaped."""
    return quote(message, safe=_UNESCAPED, errors="replace")


def decode_message(text: str) -> str:
    """Undo :func:`encode_message`; broken escapes stay as they are, as the specification asks."""
    return unquote(text, errors="replace")


def code_of_http_status(status: int) -> Code:
    """Return the code for an HTTP answer that has no ``grpc-status``, from a proxy for example."""
    return _HTTP_CODES.get(status, Code.UNKNOWN)


def http_status_text(status: int) -> str:
    """Return ``503 (Service Unavailable)``, the way grpc-go names an HTTP status."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def code_of_reset(error_code: int) -> Code:
    """Return the code for a stream ended by RST_STREAM with this HTTP/2 error code."""
    return _RESET_CODES.get(error_code, Code.INTERNAL)


_CODES = frozenset(int(code) for code in Code)
_UNESCAPED = "".join(chr(char) for char in range(0x20, 0x7F) if char != ord("%"))
_HTTP_CODES = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
_RESET_CODES = {
    0x7: Code.UNAVAILABLE,  # REFUSED_STREAM: the server did nothing yet
    0x8: Code.CANCELLED,
    0xB: Code.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    0xC: Code.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}
