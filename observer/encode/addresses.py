"""Addresses of flows: Flow.IP from two words each, texts cached.

IP.source and IP.destination differ in length, so the message is joined from pieces:

    tag, length, ipVersion, [encrypted], tag   source   [tag, source_xlated]   tag   destination
    ── one of a thousand, from a table ─────   cached   by ref                 one   cached
"""

import socket
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.encode.fragments import KeyFragments, Lengths, Objects, RefFragments
from observer.encode.varint import length_field
from observer.entities import address_text
from observer.table.columns import RowFlag
from observer.table.interns import InternTable

_SLOT_BITS: Final = 16
_MAX_BODY_BYTES: Final = 128
_VERSIONS: Final = 4
_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
_ZEROS: Final = bytes(8)
_DESTINATION_TAG: Final = b"\x12"
# NumPy is slow with members of enums.
_ENCRYPTED: Final = int(RowFlag.ENCRYPTED)
_TAGS_BYTES: Final = 2

Piece = tuple[Objects, Lengths]


def _text_fragments(addresses: list[bytes]) -> list[bytes]:
    """Return the length-prefixed texts of addresses of 16 bytes."""
    texts = [_text(packed) for packed in addresses]
    # Text and length are ASCII, so that they may be joined before they are encoded.
    return [(chr(len(text)) + text).encode() for text in texts]


def _text(packed: bytes) -> str:
    if packed.startswith(_MAPPED_PREFIX):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    if packed.startswith(_ZEROS):
        # The C library writes the end of some of these as dotted IPv4, Hubble does not.
        return address_text(packed)
    return socket.inet_ntop(socket.AF_INET6, packed)


def _opening(body_bytes: int, ip_version: int, encrypted: int) -> bytes:
    fields = bytes((0x18, ip_version)) + (b"\x20\x01" if encrypted else b"")
    return bytes((0x2A, body_bytes)) + fields + b"\x0a"


class AddressPieces:
    """Caches of one encoder."""

    def __init__(self, addresses: InternTable[bytes]) -> None:
        self._texts = KeyFragments(slot_bits=_SLOT_BITS, build=_text_fragments)
        self.translated = RefFragments(addresses, _translated)
        self._openings = np.array(
            [
                _opening(body_bytes, ip_version, encrypted)
                for encrypted in range(2)
                for ip_version in range(_VERSIONS)
                for body_bytes in range(_MAX_BODY_BYTES)
            ],
            object,
        )

    def pieces(
        self,
        *,
        source: NDArray[np.uint64],
        destination: NDArray[np.uint64],
        ip_version: NDArray[np.uint8],
        flags: NDArray[np.uint8],
        xlated_ref: NDArray[np.int32],
    ) -> list[Piece]:
        """Return the pieces of Flow.IP for each row, in order; empty ones for rows without IP."""
        count = len(flags)
        texts, text_bytes = self._texts.take(np.concatenate((source, destination)))
        sources, source_bytes = texts[:count], text_bytes[:count]
        destinations, destination_bytes = texts[count:], text_bytes[count:]
        encrypted = ((flags & _ENCRYPTED) != 0).astype(np.int64)
        body_bytes = source_bytes + destination_bytes + (2 + _TAGS_BYTES)
        body_bytes += 2 * encrypted
        pieces = [(sources, source_bytes)]
        if xlated_ref.any():
            translated, translated_bytes = self.translated.take(xlated_ref)
            body_bytes += translated_bytes
            pieces.append((translated, translated_bytes))
        number = body_bytes + _MAX_BODY_BYTES * (ip_version + _VERSIONS * encrypted)
        opening_bytes = 5 + 2 * encrypted
        tags = np.empty(count, object)
        tags[:] = _DESTINATION_TAG
        pieces.insert(0, (self._openings.take(number), opening_bytes))
        pieces.append((tags, np.ones(count, np.int64)))
        pieces.append((destinations, destination_bytes))
        _blank(pieces, ip_version == 0)
        return pieces


def _blank(pieces: list[Piece], rows: NDArray[np.bool_]) -> None:
    if rows.any():
        for fragments, lengths in pieces:
            fragments[rows] = b""
            lengths[rows] = 0


def _translated(address: bytes | None) -> bytes:
    return b"" if address is None else length_field(5, address_text(address).encode())
