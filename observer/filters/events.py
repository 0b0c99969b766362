"""Filters by what happened: event type, verdict, drop reason, direction, reply, trace ids, uuid.

These are the cheap ones: each compares a narrow column or two.
"""

from collections.abc import Iterator

import numpy as np

from api.proto.flow.flow_pb2 import EventTypeFilter, FlowFilter, NetworkInterface, Verdict
from observer.entities import Interface
from observer.filters.condition import (
    Condition,
    Cost,
    Mask,
    RefVerdicts,
    RowSlice,
    constant,
    membership,
    one_of,
)
from observer.filters.context import Context
from observer.table.ring import FlowTable

_NO_REPLY = 0
_REPLY = 1
_UNKNOWN_REPLY = -1


def uuids(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile uuid: the table computes which position carries it."""
    if flow_filter.uuid:
        # First of all, so that it is asked about consecutive slots.
        wanted = _Uuids(sorted(set(flow_filter.uuid)))
        yield Condition(cost=Cost.UUID, mask=wanted.mask, judge=wanted.judge)


class _Uuids:
    """Positions of uuids: each is found out once, since it is the same for ever."""

    def __init__(self, texts: list[str]) -> None:
        self._unknown = texts
        self._positions: set[int] = set()

    def mask(self, rows: RowSlice) -> Mask:
        for _ in self.judge(rows.table):
            pass
        result = np.zeros(len(rows), np.bool_)
        table, slots = rows.table, rows.slots
        for position in self._positions:
            if table.oldest <= position < table.head:
                slot = position & table.capacity
                if slots.start <= slot < slots.stop:
                    result[slot - slots.start] = True
        return result

    def judge(self, table: FlowTable) -> Iterator[None]:
        while self._unknown:
            text = self._unknown.pop()
            # Equality is that of texts: another spelling of the same number does not count.
            position = table.find_uuid(text)
            if position is not None:
                self._positions.add(position)
            yield


def event_types(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile event_type: type 0 is any, the sub type counts only if it is asked for."""
    wanted = list(flow_filter.event_type)
    if wanted:

        def mask(rows: RowSlice) -> Mask:
            result = np.zeros(len(rows), np.bool_)
            for entry in wanted:
                result |= _event_type_mask(rows, entry)
            return result

        yield Condition(cost=Cost.COLUMN, mask=mask)


def _event_type_mask(rows: RowSlice, entry: EventTypeFilter) -> Mask:
    result = np.ones(len(rows), np.bool_)
    if entry.type:
        result &= membership(rows.column("kind"), [entry.type])
    if entry.match_sub_type:
        result &= membership(rows.column("sub_type"), [entry.sub_type])
    return result


def verdicts(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile verdict."""
    if flow_filter.verdict:
        yield one_of("verdict", flow_filter.verdict)


def drop_reasons(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile drop_reason_desc: the reason counts only where the verdict is DROPPED."""
    wanted: list[int] = sorted(set(flow_filter.drop_reason_desc))
    if wanted:

        def mask(rows: RowSlice) -> Mask:
            result = membership(rows.column("drop_reason"), wanted)
            result &= rows.column("verdict") == Verdict.DROPPED
            return result

        yield Condition(cost=Cost.COLUMN, mask=mask)


def directions(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile traffic_direction."""
    if flow_filter.traffic_direction:
        yield one_of("direction", flow_filter.traffic_direction)


def replies(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile reply: unknown matches nothing, but drops count as no replies."""
    wanted = set(flow_filter.reply)
    if wanted:

        def mask(rows: RowSlice) -> Mask:
            is_reply = rows.column("is_reply")
            result = np.zeros(len(rows), np.bool_)
            if True in wanted:
                result |= is_reply == _REPLY
            if False in wanted:
                dropped = rows.column("verdict") == Verdict.DROPPED
                result |= (is_reply == _NO_REPLY) | ((is_reply == _UNKNOWN_REPLY) & dropped)
            return result

        yield Condition(cost=Cost.COLUMN, mask=mask)


def trace_ids(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile trace_id: only L7 records carry one, and "" stands for none."""
    if flow_filter.trace_id:
        yield constant("" in flow_filter.trace_id)


def ip_trace_ids(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile ip_trace_id; 0 matches rows without one, as in Hubble."""
    if flow_filter.ip_trace_id:
        yield one_of("ip_trace_id", flow_filter.ip_trace_id)


def interfaces(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile interface: index and name must both be equal where they are given."""
    wanted = list(flow_filter.interface)
    if wanted:
        accepted: RefVerdicts[Interface] = RefVerdicts(
            lambda interface: any(_same_interface(entry, interface) for entry in wanted)
        )

        def mask(rows: RowSlice) -> Mask:
            return accepted.mask(rows.interns.interfaces, rows.column("interface_ref"))

        def judge(table: FlowTable) -> Iterator[None]:
            return accepted.judge(table.interns.interfaces)

        yield Condition(cost=Cost.REFERENCE, mask=mask, judge=judge)


def _same_interface(entry: NetworkInterface, interface: Interface) -> bool:
    return entry.index in (0, interface.index) and entry.name in ("", interface.name)
