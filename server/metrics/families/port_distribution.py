"""`port-distribution`: which ports are asked for; ICMP has port 0."""

from typing import Final

import numpy as np

from server.metrics.families import words
from server.metrics.families.source import Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("kind", "l4_kind")
_PORT_BITS: Final = 16
_IS_COUNTED: Final = words.HAS_PORTS | words.IS_ICMP


def family(_source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    return Family(
        metric="hubble_port_distribution_total",
        meaning="Numbers of packets distributed by destination port",
        labels=("protocol", "port"),
        select=_select,
        word=_word,
        values=_values,
    )


def _select(columns: Columns) -> Rows:
    wanted = words.IS_FORWARDED[columns["verdict"]] & words.IS_FLOW[columns["kind"]]
    wanted &= columns["is_reply"] == words.NOT_REPLY
    wanted &= _IS_COUNTED[columns["l4_kind"]]
    return np.flatnonzero(wanted)


def _word(columns: Columns, rows: Rows) -> Words:
    ports = np.where(
        words.HAS_PORTS[columns["l4_kind"][rows]], columns["destination_port"][rows], 0
    )
    return words.packed(columns, rows, *_COLUMNS) << np.uint64(_PORT_BITS) | ports


def _values(word: int) -> tuple[Labels, ...]:
    rest, port = divmod(word, 1 << _PORT_BITS)
    kind, l4_kind = words.unpacked(rest, len(_COLUMNS))
    return ((words.protocol(kind, l4_kind), str(port)),)
