"""The encoder of debug events: positions in, framed GetDebugEventsResponse messages out.

They are written only while somebody looks for a reason, so each is a message of its own (10 µs).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from api.lane.wire import Framed, frame
from api.proto.flow.flow_pb2 import DebugEvent
from api.proto.observer.observer_pb2 import GetDebugEventsResponse
from observer.encode.debug_text import debug_text
from observer.encode.masks import FieldMask
from observer.encode.messages import (
    endpoint_message,
    open_enum,
    progress_response,
    timestamp,
)
from observer.entities import LostEvents
from observer.table.ring import FlowTable

_COLUMNS = ("time_ns", "sub_type", "endpoint_id", "source_ref", "ip_trace_id", "cpu")


class DebugEncoder:
    """Encodes the rows of kind DEBUG of one table."""

    def __init__(self, table: FlowTable, *, node_name: str) -> None:
        self._table = table
        self._node_name = node_name

    def is_warm(self, _: FieldMask | None) -> bool:
        """Tell that no row takes longer than the others."""
        return True

    # The signature is FlowEncoder's: debug events have neither masks nor details.
    def encode_parts(
        self, positions: NDArray[np.int64], *, paths: FieldMask | None, details: bool
    ) -> Iterator[Framed]:
        """Encode rows, int64 (n,), all readable now; `paths` and `details` are for flows."""
        slots = self._table.slots(positions)
        columns = [self._table.columns[name][slots].tolist() for name in _COLUMNS]
        arguments = self._table.columns["macs"][slots].view(np.uint32).tolist()
        messages = [
            frame(self._message(*row, arguments=args))
            for *row, args in zip(*columns, arguments, strict=True)
        ]
        if messages:
            yield Framed(b"".join(messages), len(messages))

    def lost(self, _: LostEvents, *, time_ns: int) -> Framed:
        """Return no message: GetDebugEventsResponse cannot tell of a gap, the ledger does."""
        return Framed(b"", 0)

    def progress(self, time_ns: int) -> Framed:
        """Encode that nothing older will follow."""
        return Framed(frame(progress_response(time_ns, self._node_name).SerializeToString()), 1)

    def _message(
        self,
        time_ns: int,
        kind: int,
        endpoint_id: int,
        source_ref: int,
        mark: int,
        cpu: int,
        *,
        arguments: list[int],
    ) -> bytes:
        event = DebugEvent(type=open_enum(kind), message=debug_text(kind, *arguments))
        if source_ref:
            event.source.CopyFrom(endpoint_message(self._table.interns.endpoints[source_ref]))
        elif endpoint_id:
            event.source.ID = endpoint_id
        event.hash.value = mark
        event.arg1.value, event.arg2.value, event.arg3.value = arguments
        event.cpu.value = cpu
        return GetDebugEventsResponse(
            debug_event=event, node_name=self._node_name, time=timestamp(time_ns)
        ).SerializeToString()
