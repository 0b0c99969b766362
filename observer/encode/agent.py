"""The encoder of agent events: positions in, framed GetAgentEventsResponse messages out.

Agent events are rare, so each is a message of its own; the detail of its row has it encoded.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from api.lane.wire import Framed, frame
from api.proto.observer.observer_pb2 import GetAgentEventsResponse
from observer.encode.masks import FieldMask
from observer.encode.messages import progress_response, timestamp
from observer.encode.varint import length_field
from observer.entities import AgentNotice, LostEvents
from observer.table.ring import FlowTable

_AGENT_EVENT = GetAgentEventsResponse.AGENT_EVENT_FIELD_NUMBER


class AgentEncoder:
    """Encodes the rows of kind AGENT of one table."""

    def __init__(self, table: FlowTable, *, node_name: str) -> None:
        self._table = table
        self._node_name = node_name

    def is_warm(self, _: FieldMask | None) -> bool:
        """Tell that no row takes longer than the others."""
        return True

    # The signature is FlowEncoder's: agent events have neither masks nor details.
    def encode_parts(
        self, positions: NDArray[np.int64], *, paths: FieldMask | None, details: bool
    ) -> Iterator[Framed]:
        """Encode rows, int64 (n,), all readable now; `paths` and `details` are for flows."""
        times = self._table.columns["time_ns"][self._table.slots(positions)].tolist()
        messages = [
            frame(self._message(self._table.details.get(position), time_ns))
            for position, time_ns in zip(positions.tolist(), times, strict=True)
        ]
        if messages:
            yield Framed(b"".join(messages), len(messages))

    def lost(self, _: LostEvents, *, time_ns: int) -> Framed:
        """Return no message: GetAgentEventsResponse cannot tell of a gap, the ledger does."""
        return Framed(b"", 0)

    def progress(self, time_ns: int) -> Framed:
        """Encode that nothing older will follow."""
        return Framed(frame(progress_response(time_ns, self._node_name).SerializeToString()), 1)

    def _message(self, detail: object, time_ns: int) -> bytes:
        message = detail.message if isinstance(detail, AgentNotice) else b""
        around = GetAgentEventsResponse(node_name=self._node_name, time=timestamp(time_ns))
        return length_field(_AGENT_EVENT, message) + around.SerializeToString()
