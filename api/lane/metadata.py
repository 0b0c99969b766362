"""Metadata and deadlines as HTTP/2 headers.

Metadata is a tuple of pairs, in order, repeated keys allowed. Values are printable ASCII; those of
keys that end in ``-bin`` are bytes and travel as base64. What HTTP/2 and gRPC themselves use
(``:path``, ``grpc-timeout``, ``te`` and so on) is not metadata and is left out on both ways.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterable

Metadata = tuple[tuple[str, str | bytes], ...]
Header = tuple[bytes, bytes]

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_NOT_METADATA = frozenset({"te", "content-type", "user-agent", "content-length"})
# Seconds per unit, finest first: the encoder takes the first one whose number fits.
_UNIT_S = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1.0, "M": 60.0, "H": 3600.0}
_MAX_TIMEOUT_NUMBER = 99_999_999


def encode_metadata(metadata: Metadata) -> list[Header]:
    """Return the headers of metadata.

    Raises:
        ValueError: a key or value that cannot travel, or a key that gRPC keeps for itself.
    """
    values = [_encode_value(key, value) for key, value in metadata]
    return [(key.encode("ascii"), value) for (key, _), value in zip(metadata, values, strict=True)]


def _encode_value(key: str, value: str | bytes) -> bytes:
    reserved = key.startswith("grpc-") or key in _NOT_METADATA
    if not _KEY.fullmatch(key) or reserved:
        raise ValueError(f"encode metadata: key not allowed: {key!r}")
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise ValueError(f"encode metadata: value of {key} must be bytes: {value!r}")
        return b64encode(value).rstrip(b"=")
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise ValueError(f"encode metadata: value of {key} must be printable ASCII: {value!r}")
    return value.encode("ascii")


def decode_metadata(headers: Iterable[Header]) -> Metadata:
    """Return the metadata among received headers; odd bytes in text are read as Latin-1.

    Raises:
        RpcError: INTERNAL, a ``-bin`` value is not base64.
    """
    pairs: list[tuple[str, str | bytes]] = []
    for raw_key, raw_value in headers:
        key = raw_key.decode("latin-1")
        if key.startswith((":", "grpc-")) or key in _NOT_METADATA:
            continue
        if key.endswith("-bin"):
            pairs.extend((key, _decode_binary(key, part)) for part in raw_value.split(b","))
        else:
            pairs.append((key, raw_value.decode("latin-1")))
    return tuple(pairs)


def _decode_binary(key: str, value: bytes) -> bytes:
    value = value.strip()
    try:
        return b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        text = f'malformed binary metadata "{value.decode("latin-1")}" in header "{key}": {error}'
        raise RpcError(Code.INTERNAL, text) from error


def decode_details(headers: dict[bytes, bytes]) -> bytes:
    """Return the bytes of ``grpc-status-details-bin``; empty when absent or malformed."""
    try:
        return _decode_binary(
            "grpc-status-details-bin", headers.get(b"grpc-status-details-bin", b"")
        )
    except RpcError:
        # The status itself is worth more than its broken details.
        return b""


def encode_timeout(timeout_s: float) -> bytes:
    """Return a ``grpc-timeout`` value: at most 8 digits, in the finest unit that fits."""
    for unit, unit_s in _UNIT_S.items():
        number = round(timeout_s / unit_s)
        if number <= _MAX_TIMEOUT_NUMBER:
            # A deadline that has passed is sent as the shortest one, not as a malformed number.
            return f"{max(number, 1)}{unit}".encode("ascii")
    return f"{_MAX_TIMEOUT_NUMBER}H".encode("ascii")


def decode_timeout(value: bytes) -> float:
    """Return the seconds of a ``grpc-timeout`` value.

    Raises:
        RpcError: INTERNAL, malformed.
    """
    text = value.decode("latin-1")
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise RpcError(Code.INTERNAL, f'malformed grpc-timeout: "{text}"')
    return int(match[1]) * _UNIT_S[match[2]]
