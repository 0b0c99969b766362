"""What the headers around an answer say: its status, or what kind of server sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.lane.metadata import decode_details, decode_metadata
from api.lane.status import (
    Code,
    RpcError,
    code_of_http_status,
    decode_message,
    http_status_text,
    parse_code,
)

if TYPE_CHECKING:
    from api.lane.metadata import Header


def is_trailers_only(headers: list[Header]) -> bool:
    """Return whether the first header block of an answer is its last."""
    return any(key == b"grpc-status" for key, _ in headers)


def status_of(headers: list[Header], trailers: list[Header] | None) -> RpcError | None:
    """Return the error that a whole answer says, None for OK.

    ``trailers`` is None for an answer of a single header block.
    """
    first = dict(headers)
    last = first if trailers is None else dict(trailers)
    if b"grpc-status" not in last:
        return _error_of_http(first)
    code = parse_code(last[b"grpc-status"].decode("latin-1"))
    if code == Code.OK:
        return None
    message = decode_message(last.get(b"grpc-message", b"").decode("latin-1"))
    try:
        trailing = decode_metadata(headers if trailers is None else trailers)
    except RpcError:
        # The status is worth more than metadata beside it that cannot be read.
        trailing = ()
    return RpcError(code, message, decode_details(last), trailing)


def _error_of_http(fields: dict[bytes, bytes]) -> RpcError:
    """Return the error for an answer without a gRPC status: no gRPC server, or a broken one."""
    status = fields.get(b":status", b"0").decode("latin-1")
    kind = fields.get(b"content-type", b"").decode("latin-1")
    if status == "200" and kind.startswith("application/grpc"):
        return RpcError(Code.INTERNAL, "server closed the stream without sending trailers")
    number = int(status) if status.isascii() and status.isdecimal() else 0
    text = f"unexpected HTTP status code received from server: {http_status_text(number)}"
    if not kind.startswith("application/grpc"):
        text += f'; transport: received unexpected content-type "{kind}"'
    return RpcError(code_of_http_status(number), text)
