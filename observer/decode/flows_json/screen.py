"""Filters over batches of responses: which of them pass?"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.decode.flows_json import conditions
from observer.decode.flows_json.columns import MessageTable
from observer.filters import addresses, application, endpoints, events, names, transport
from observer.filters.compile import Compiler, compile_conditions
from observer.filters.context import Context
from observer.filters.selection import Selection

_BY_MESSAGE: Final[dict[Compiler, Compiler]] = {
    events.uuids: conditions.uuids,
    events.event_types: conditions.event_types,
    events.trace_ids: conditions.trace_ids,
    addresses.encryption: conditions.encryption,
    addresses.ip_addresses: conditions.ip_addresses,
    transport.protocols: conditions.protocols,
    transport.tcp_flags: conditions.tcp_flags,
    application.dns_queries: conditions.dns_queries,
    application.http: conditions.http,
    endpoints.labels: conditions.labels,
    names.node_names: conditions.node_names,
}
"""Compilers of fields that no column holds as messages have them, and those that do it here."""


class Screen:
    """The filters of one request, for any number of batches."""

    def __init__(self, allow: Sequence[FlowFilter], deny: Sequence[FlowFilter]) -> None:
        """Compile the filters.

        Raises:
            FilterError: a value is not understood; the text is for the user.
        """
        context = Context(node_name="", node_labels=(), flows=conditions.messages_of)
        self._selection = Selection(
            allow=tuple(compile_conditions(each, context, _BY_MESSAGE) for each in allow),
            deny=tuple(compile_conditions(each, context, _BY_MESSAGE) for each in deny),
        )
        self._table = MessageTable()

    def passing(self, responses: Sequence[GetFlowsResponse]) -> list[int]:
        """Return the indices of the responses that pass; gaps count as empty flows."""
        if self._selection.everything:
            return list(range(len(responses)))
        rows = self._table.load(responses)
        return np.flatnonzero(self._selection.mask(self._table, rows)).tolist()
