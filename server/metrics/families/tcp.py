"""`tcp`: segments that open or end connections. One with several such flags counts for each."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import IPVersion
from observer.encode.traits import SAW_SEGMENT
from observer.table import scalars
from server.metrics.families import words
from server.metrics.families.source import Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_FIN: Final = 0x01
_SYN: Final = 0x02
_RST: Final = 0x04
_ACK: Final = 0x10
_COUNTED: Final = np.uint16(_FIN | _SYN | _RST)
_LABELLED: Final = np.uint16(_FIN | _SYN | _RST | _ACK)
_VERSION_BITS: Final = 8
_FAMILIES: Final[dict[int, str]] = {IPVersion.IPv4: "IPv4", IPVersion.IPv6: "IPv6"}


def family(_source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    return Family(
        metric="hubble_tcp_flags_total",
        meaning="TCP flag occurrences",
        labels=("flag", "family"),
        select=_select,
        word=_word,
        values=_values,
    )


def _select(columns: Columns) -> Rows:
    wanted = (columns["tcp_flags"] & _COUNTED) != 0
    wanted &= columns["l4_kind"] == scalars.TCP
    wanted &= words.IS_FORWARDED[columns["verdict"]] & SAW_SEGMENT[columns["kind"]]
    return np.flatnonzero(wanted)


def _word(columns: Columns, rows: Rows) -> Words:
    flags = (columns["tcp_flags"][rows] & _LABELLED).astype(np.uint64)
    return flags << np.uint64(_VERSION_BITS) | columns["ip_version"][rows]


def _values(word: int) -> tuple[Labels, ...]:
    flags, version = divmod(word, 1 << _VERSION_BITS)
    family_name = _FAMILIES.get(version, "Unknown IP")
    return tuple((flag, family_name) for flag in _flags(flags))


def _flags(flags: int) -> Iterator[str]:
    if flags & _FIN:
        yield "FIN"
    if flags & _SYN:
        yield "SYN-ACK" if flags & _ACK else "SYN"
    if flags & _RST:
        yield "RST"
