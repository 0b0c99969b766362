"""`policy`: verdicts of policies, but for what the host itself sends."""

from collections.abc import Callable
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import TrafficDirection
from observer.entities import HOST_IDENTITY
from observer.table import scalars
from server.metrics.families import words
from server.metrics.families.source import EndpointTest, Source
from server.metrics.family import Columns, Family, Rows
from server.metrics.grouping import Words
from server.metrics.series import Labels

_COLUMNS: Final = ("direction", "match_type", "verdict")
_MATCHES: Final = ("none", "l3-only", "l3-l4", "l4-only", "all", "l3-proto", "proto-only")


def family(source: Source) -> Family:
    """Make the family; it has no options but contexts."""
    host = EndpointTest(
        source.interns.endpoints, lambda endpoint: endpoint.identity == HOST_IDENTITY
    )
    return Family(
        metric="hubble_policy_verdicts_total",
        meaning="Total number of Cilium network policy verdicts",
        labels=("direction", "match", "action"),
        select=_selection(host),
        word=_word,
        values=_values,
    )


def _selection(host: EndpointTest) -> Callable[[Columns], Rows]:
    def select(columns: Columns) -> Rows:
        rows = np.flatnonzero(columns["kind"] == scalars.POLICY_VERDICT)
        return rows[~host.of(columns["source_ref"][rows])]

    return select


def _word(columns: Columns, rows: Rows) -> Words:
    return words.packed(columns, rows, *_COLUMNS)


def _values(word: int) -> tuple[Labels, ...]:
    direction, match, verdict = words.unpacked(word, len(_COLUMNS))
    name = TrafficDirection.Name(direction)
    matched = _MATCHES[match] if match < len(_MATCHES) else "unknown"
    return ((name.lower(), matched, words.verdict(verdict).lower()),)
