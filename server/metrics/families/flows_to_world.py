"""`flows-to-world`: what leaves the cluster, or tries to."""

from collections.abc import Callable
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import DropReason
from observer.entities import Endpoint
from observer.table import scalars
from server.metrics.families import words
from server.metrics.families.source import EndpointTest, Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("kind", "l4_kind", "verdict")
_POLICY_DENIED: Final = np.uint8(DropReason.POLICY_DENIED)
_SYN: Final = np.uint16(2)
_PORT_BITS: Final = 16


def family(source: Source) -> Family:
    """Make the family; options: any-drop, port, syn-only."""
    has_port = "port" in source.options
    return Family(
        metric="hubble_flows_to_world_total",
        meaning="Total number of flows to reserved:world",
        labels=("protocol", "verdict", "port") if has_port else ("protocol", "verdict"),
        select=_selection(
            EndpointTest(source.interns.endpoints, _is_world),
            any_drop="any-drop" in source.options,
            syn_only="syn-only" in source.options,
        ),
        word=_word_with_port if has_port else _word,
        values=_values_with_port if has_port else _values,
    )


def _is_world(endpoint: Endpoint) -> bool:
    return "reserved:world" in endpoint.labels


def _selection(world: EndpointTest, *, any_drop: bool, syn_only: bool) -> Callable[[Columns], Rows]:
    def select(columns: Columns) -> Rows:
        is_dropped = columns["verdict"] == words.DROPPED
        wanted = is_dropped | (columns["is_reply"] != words.REPLY)
        wanted &= words.IS_FLOW[columns["kind"]] & (columns["l4_kind"] != 0)
        if not any_drop:
            wanted &= ~is_dropped | (columns["drop_reason"] == _POLICY_DENIED)
        if syn_only:
            wanted &= (columns["l4_kind"] == scalars.TCP) & (columns["tcp_flags"] & _SYN != 0)
            wanted &= columns["is_reply"] != words.REPLY
        rows = np.flatnonzero(wanted)
        return rows[world.of(columns["destination_ref"][rows])]

    return select


def _word(columns: Columns, rows: Rows) -> Words:
    return words.packed(columns, rows, *_COLUMNS)


def _word_with_port(columns: Columns, rows: Rows) -> Words:
    ports = np.where(
        words.HAS_PORTS[columns["l4_kind"][rows]], columns["destination_port"][rows], 0
    )
    return _word(columns, rows) << np.uint64(_PORT_BITS) | ports


def _values(word: int) -> tuple[Labels, ...]:
    kind, l4_kind, verdict = words.unpacked(word, len(_COLUMNS))
    return ((words.protocol(kind, l4_kind), words.verdict(verdict)),)


def _values_with_port(word: int) -> tuple[Labels, ...]:
    rest, port = divmod(word, 1 << _PORT_BITS)
    _, l4_kind, _ = words.unpacked(rest, len(_COLUMNS))
    (labels,) = _values(rest)
    return ((*labels, str(port) if words.HAS_PORTS[l4_kind] else ""),)
