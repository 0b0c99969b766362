"""`icmp`: messages by type. The family is that of the addresses, as dashboards ask for it."""

from typing import Final

import numpy as np

from observer.encode.summary import summary
from observer.table.columns import EventKind, L4Kind
from server.metrics.families import words
from server.metrics.families.source import Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("l4_kind", "source_port", "destination_port")
"""The ports are type and code, which are bytes."""


def family(_source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    return Family(
        metric="hubble_icmp_total",
        meaning="Number of ICMP messages",
        labels=("family", "type"),
        select=_select,
        word=_word,
        values=_values,
    )


def _select(columns: Columns) -> Rows:
    return np.flatnonzero(words.IS_ICMP[columns["l4_kind"]])


def _word(columns: Columns, rows: Rows) -> Words:
    return words.packed(columns, rows, *_COLUMNS)


def _values(word: int) -> tuple[Labels, ...]:
    l4_kind, icmp_type, icmp_code = words.unpacked(word, len(_COLUMNS))
    text = summary(
        kind=EventKind.TRACE,
        l4_kind=l4_kind,
        ip_version=0,
        tcp_flags=0,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )
    return (("IPv4" if l4_kind == L4Kind.ICMPV4 else "IPv6", text.partition(" ")[2]),)
