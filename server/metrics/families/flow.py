"""`flow`: all flows, by what was seen of them and what became of them."""

from typing import Final

import numpy as np

from observer.table.columns import EventKind
from server.metrics.families import words
from server.metrics.families.source import Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("kind", "sub_type", "verdict", "l4_kind")
_POINTS: Final = (
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
    "from-crypto",
    "to-crypto",
)
"""By trace point."""


def family(_source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    return Family(
        metric="hubble_flows_processed_total",
        meaning="Total number of flows processed",
        labels=("protocol", "type", "subtype", "verdict"),
        select=_select,
        word=_word,
        values=_values,
    )


def _select(columns: Columns) -> Rows:
    return np.flatnonzero(words.IS_FLOW[columns["kind"]])


def _word(columns: Columns, rows: Rows) -> Words:
    return words.packed(columns, rows, *_COLUMNS)


def _values(word: int) -> tuple[Labels, ...]:
    kind, sub_type, verdict, l4_kind = words.unpacked(word, len(_COLUMNS))
    return ((words.protocol(kind, l4_kind), *_type(kind, sub_type), words.verdict(verdict)),)


def _type(kind: int, sub_type: int) -> tuple[str, str]:
    match kind:
        case EventKind.DROP:
            return "Drop", ""
        case EventKind.CAPTURE:
            return "Capture", ""
        case EventKind.POLICY_VERDICT:
            return "PolicyVerdict", ""
        case EventKind.TRACE:
            return "Trace", _POINTS[sub_type] if sub_type < len(_POINTS) else str(sub_type)
        case EventKind.L7:
            return "L7", ""
        case _:
            return "Unknown", str(sub_type)
