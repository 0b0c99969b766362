"""`drop`: packets that were dropped, by reason."""

from typing import Final

import numpy as np

from server.metrics.families import words
from server.metrics.families.source import Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("drop_reason", "kind", "l4_kind")


def family(_source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    return Family(
        metric="hubble_drop_total",
        meaning="Number of drops",
        labels=("reason", "protocol"),
        contexts_first=True,
        select=_select,
        word=_word,
        values=_values,
    )


def _select(columns: Columns) -> Rows:
    return np.flatnonzero((columns["verdict"] == words.DROPPED) & words.IS_FLOW[columns["kind"]])


def _word(columns: Columns, rows: Rows) -> Words:
    return words.packed(columns, rows, *_COLUMNS)


def _values(word: int) -> tuple[Labels, ...]:
    reason, kind, l4_kind = words.unpacked(word, len(_COLUMNS))
    return ((words.drop_reason(reason), words.protocol(kind, l4_kind)),)
