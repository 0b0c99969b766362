"""Extras: the pieces of a flow that few rows or few clients have.

Where in the datapath's source a drop was decided, the trace id from IP options, what a row's
detail holds (tunnel, socket), and our own leavitt.FlowDetails for clients that ask for it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api.proto.leavitt.flow_details_pb2 import FlowDetails
from observer.encode.addresses import Piece
from observer.encode.sources import source_file
from observer.encode.varint import UINT32_BYTES, UINT64_BYTES, length_field, varint, write_varints

_UINT16_BYTES: Final = 3
_DETAILS: Final = (
    ("bytes", UINT64_BYTES),
    ("packets", UINT32_BYTES),
    ("rtt_ns", UINT32_BYTES),
    ("rule_cookie", UINT32_BYTES),
    ("vlan_id", _UINT16_BYTES),
)
"""Columns and widths of their varints, in the order of FlowDetails' fields."""
_TYPE_URL: Final = f"type.googleapis.com/{FlowDetails.DESCRIPTOR.full_name}".encode()


class RarePiece:
    """One piece for all that few rows have: each addition is appended to its rows."""

    def __init__(self, count: int) -> None:
        self._fragments = np.empty(count, object)
        self._fragments[:] = b""
        self._lengths = np.zeros(count, np.int64)
        self.used = False

    def add(self, rows: NDArray[np.intp], piece: Piece) -> None:
        """Append a piece, one fragment for each of the rows."""
        if len(rows):
            self._fragments[rows] += piece[0]
            self._lengths[rows] += piece[1]
            self.used = True

    @property
    def piece(self) -> Piece:
        """All additions."""
        return self._fragments, self._lengths


def listed_piece(fragments: list[bytes]) -> Piece:
    """Return fragments as a piece."""
    objects = np.empty(len(fragments), object)
    objects[:] = fragments
    return objects, np.fromiter(map(len, fragments), np.int64, len(fragments))


def _fixed_piece(matrix: NDArray[np.uint8]) -> Piece:
    """Return the rows of a byte matrix as a piece."""
    count, width = matrix.shape
    fragments = np.empty(count, object)
    fragments[:] = matrix.view(f"V{width}")[:, 0].tolist()
    return fragments, np.full(count, width, np.int64)


def file_piece(files: NDArray[np.uint8], lines: NDArray[np.uint16]) -> Piece:
    """Encode Flow.file from numbers of files and lines, (n,) each."""
    return listed_piece(list(map(_file_field, files.tolist(), lines.tolist())))


@lru_cache(maxsize=4_096)
def _file_field(number: int, line: int) -> bytes:
    """Encode a place in the source; there are few of them."""
    info = length_field(1, source_file(number).encode())
    return length_field(38, info + (b"\x10" + varint(line) if line else b""))


def ip_trace_id_piece(ids: NDArray[np.uint64]) -> Piece:
    """Encode Flow.ip_trace_id from uint64 (n,)."""
    template = length_field(40, b"\x08" + bytes(UINT64_BYTES))
    matrix = np.empty((len(ids), len(template)), np.uint8)
    matrix[:] = np.frombuffer(template, np.uint8)
    write_varints(matrix[:, -UINT64_BYTES:], ids)
    return _fixed_piece(matrix)


def details_piece(column: Callable[[str], NDArray[Any]]) -> Piece:
    """Encode leavitt.FlowDetails as Flow.extensions for each row."""
    body = b"".join(
        bytes((number << 3, *bytes(width))) for number, (_, width) in enumerate(_DETAILS, 1)
    )
    template = length_field(150_000, length_field(1, _TYPE_URL) + length_field(2, body))
    at = len(template) - len(body)
    matrix = np.empty((len(column("bytes")), len(template)), np.uint8)
    matrix[:] = np.frombuffer(template, np.uint8)
    for name, width in _DETAILS:
        write_varints(matrix[:, at + 1 : at + 1 + width], column(name))
        at += 1 + width
    return _fixed_piece(matrix)
