"""Heads: the part of a response that differs in each row and has a fixed width.

A head is one row of a byte matrix, copied from a template and then filled column by column:

    ┌───────────── message ──────────────────────────────────────────────────────────────────┐
    prefix  [node_name]  [time]  flow tag, length   [time] [uuid] constants [ethernet] [l4 …
    5       const        15      5                  14     39     const     40         12

Parts in brackets are there if the client wants them. `l4` is left open: the TCP flags, which are
part of the row's traits, follow. Rows without Ethernet or without ports are cut to fit.

node_name and time come first, as in Go's encoding, so that a relay finds them at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.encode.varint import UINT32_BYTES, length_field, varint, write_varints
from observer.table.columns import L4Kind

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

_PREFIX_BYTES: Final = 5
_FLOW_LENGTH_BYTES: Final = 4
_STAMP: Final = bytes((0x08, *bytes(UINT32_BYTES), 0x10, *bytes(UINT32_BYTES)))
_UUID_BYTES: Final = 36
_MAC_TEXT: Final = b"00:00:00:00:00:00"
_ETHERNET: Final = length_field(4, length_field(1, _MAC_TEXT) + length_field(2, _MAC_TEXT))
_PORT_BYTES: Final = 3
_PORTS: Final = bytes((0x08, *bytes(_PORT_BYTES), 0x10, *bytes(_PORT_BYTES)))
# Tag of Flow.l4 and its length, tag of the protocol and its length, both lengths below 128.
_L4: Final = bytes((0x32, 0, 0, 0)) + _PORTS
# NumPy is slow with members of enums.
_NO_L4: Final = int(L4Kind.NONE)
_IGMP: Final = int(L4Kind.IGMP)
_IGMP_CUT: Final = 1 + _PORT_BYTES
"""What lacks where the second number does: IGMP has only a type."""
_HEX: Final = np.frombuffer("".join(f"{n:02x}" for n in range(256)).encode(), np.uint16)
"""Both digits of each byte as one element."""
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadParts:
    """Which parts of a head a client wants."""

    time: bool
    uuid: bool
    ethernet: bool
    l4: bool
    node_name: str
    """For the response; empty if it is not wanted."""
    constants: bytes
    """Encoded fields of the flow that are the same in all rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRows:
    """The columns that heads are made of; n elements each."""

    fragments_bytes: Ints
    """Length of what will follow the head."""
    time_ns: Ints
    uuids: Bytes
    """uint8 (n, 36); (0, 36) if not wanted."""
    macs: Bytes
    """uint8 (n, 12)."""
    has_ethernet: NDArray[np.bool_]
    l4_kind: Bytes
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]
    tcp_flags_bytes: Ints
    """Length of the field behind the ports, TCP's flags mostly; 0 for rows that have none."""


class HeadLayout:
    """Where each part lies, for one set of parts."""

    def __init__(self, parts: HeadParts) -> None:
        self._parts = parts
        template = bytearray(_PREFIX_BYTES)
        if parts.node_name:
            template += length_field(1000, parts.node_name.encode())
        self._response_time = len(template)
        if parts.time:
            template += length_field(1001, _STAMP)
        template += b"\x0a" + bytes(_FLOW_LENGTH_BYTES)
        self._flow = len(template)
        if parts.time:
            template += length_field(1, _STAMP)
        self._flow_time = len(template)
        if parts.uuid:
            template += length_field(34, bytes(_UUID_BYTES))
        self._uuid = len(template)
        template += parts.constants
        self._ethernet = len(template)
        if parts.ethernet:
            template += _ETHERNET
        self._l4 = len(template)
        if parts.l4:
            template += _L4
        self._width = len(template)
        self._template = np.frombuffer(bytes(template), np.uint8)

    def heads(self, rows: HeadRows) -> list[bytes]:
        """Return the head of each row."""
        whole = (rows.l4_kind != _NO_L4) & (rows.l4_kind != _IGMP)
        whole &= rows.has_ethernet
        cut = (~whole).nonzero()[0]
        matrix = np.empty((len(whole), self._width), np.uint8)
        matrix[:] = self._template
        self._write_lengths(matrix, rows, cut)
        if self._parts.time:
            self._write_time(matrix, rows.time_ns)
        if self._parts.uuid:
            matrix[:, self._uuid - _UUID_BYTES : self._uuid] = rows.uuids
        if self._parts.ethernet:
            self._write_ethernet(matrix, rows.macs)
        if self._parts.l4:
            self._write_l4(matrix, rows)
        heads: list[bytes] = matrix.view(f"V{self._width}")[:, 0].tolist()
        for row in cut.tolist():
            has_ethernet, l4_kind = bool(rows.has_ethernet[row]), int(rows.l4_kind[row])
            heads[row] = self._cut(heads[row], has_ethernet, l4_kind)
        return heads

    def _cut(self, head: bytes, has_ethernet: bool, l4_kind: int) -> bytes:
        ethernet = head[self._ethernet : self._l4] if has_ethernet else b""
        return head[: self._ethernet] + ethernet + head[self._l4 : self._l4_stop(l4_kind)]

    def _l4_stop(self, l4_kind: int) -> int:
        if l4_kind == L4Kind.NONE:
            return self._l4
        return self._width - _IGMP_CUT if l4_kind == L4Kind.IGMP and self._parts.l4 else self._width

    def _write_lengths(self, matrix: Bytes, rows: HeadRows, cut: NDArray[np.intp]) -> None:
        flow = rows.fragments_bytes + (self._width - self._flow)
        for row in cut.tolist():
            if not rows.has_ethernet[row]:
                flow[row] -= self._l4 - self._ethernet
            flow[row] -= self._width - self._l4_stop(int(rows.l4_kind[row]))
        message = flow + (self._flow - _PREFIX_BYTES)
        matrix[:, 1:_PREFIX_BYTES].view(">u4")[:, 0] = message
        length = matrix[:, self._flow - _FLOW_LENGTH_BYTES : self._flow]
        write_varints(length, flow.astype(np.uint32))

    def _write_time(self, matrix: Bytes, time_ns: Ints) -> None:
        seconds, nanos = np.divmod(time_ns, _NS_PER_S)
        stamp = matrix[:, self._flow_time - len(_STAMP) : self._flow_time]
        # Times ascend, so that all rows of a slice mostly are of the same second.
        distinct = seconds[:1] if seconds[0] == seconds[-1] else seconds
        digits = np.empty((len(distinct), UINT32_BYTES), np.uint8)
        write_varints(digits, distinct.view(np.uint64))
        stamp[:, 1 : 1 + UINT32_BYTES] = digits
        write_varints(stamp[:, 2 + UINT32_BYTES :], nanos.astype(np.uint32))
        at = self._response_time + len(varint(1001 << 3)) + 1
        matrix[:, at : at + len(_STAMP)] = stamp

    def _write_ethernet(self, matrix: Bytes, macs: Bytes) -> None:
        pairs = _HEX.take(macs)
        for side in range(2):
            # Tag and length of the field, then tag and length of each text.
            at = self._ethernet + 4 + side * (len(_MAC_TEXT) + 2)
            # Two digits, every third byte: the template has the colons.
            digits = np.ndarray(
                (len(macs), 6), np.uint16, matrix, offset=at, strides=(self._width, 3)
            )
            digits[:] = pairs[:, 6 * side : 6 * side + 6]

    def _write_l4(self, matrix: Bytes, rows: HeadRows) -> None:
        inner = rows.tcp_flags_bytes + len(_PORTS)
        inner -= _IGMP_CUT * (rows.l4_kind == _IGMP)
        at = self._l4
        matrix[:, at + 1] = inner + 2
        matrix[:, at + 2] = rows.l4_kind << 3 | 2
        matrix[:, at + 3] = inner
        write_varints(matrix[:, at + 5 : at + 5 + _PORT_BYTES], rows.source_port)
        write_varints(matrix[:, at + 6 + _PORT_BYTES :], rows.destination_port)
