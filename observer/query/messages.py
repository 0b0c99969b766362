"""Rows as messages, for those filters that want whole flows: what a client would be sent."""

import numpy as np

from api.lane.wire import PREFIX, PREFIX_BYTES
from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode import FlowEncoder
from observer.filters.condition import RowSlice


class RowMessages:
    """Makes messages of the rows of one table."""

    def __init__(self, encoder: FlowEncoder) -> None:
        self._encoder = encoder

    def __call__(self, rows: RowSlice) -> list[Flow]:
        """Return the flow of each row; an empty one for what is none. About 3 µs a row."""
        slots = np.arange(rows.slots.start, rows.slots.stop, dtype=np.int64)
        if rows.picked is not None:
            slots = slots[rows.picked]
        newest = rows.table.head - 1
        positions = newest - ((newest - slots) & rows.table.capacity)
        data = self._encoder.encode(positions, paths=None, details=False).data
        found, start = [], 0
        for _ in range(len(positions)):
            _, size = PREFIX.unpack_from(data, start)
            start += PREFIX_BYTES
            found.append(GetFlowsResponse.FromString(data[start : start + size]).flow)
            start += size
        return found
