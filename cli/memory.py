"""What of an answer was shown last, so that it can be taken up where it broke off.

Asking again from the latest time on brings the flows of that very nanosecond once more: they are
known by their bytes and left out. One that came late, with an earlier time, is not asked for again.
"""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import assert_never

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
)
from cli.selection import SelectRequest
from cli.times import SECOND_NS

# More flows of one nanosecond than these may come twice.
_REMEMBERED = 65_536


class Memory:
    """What was shown last, to take the answer up from there."""

    def __init__(self, request: SelectRequest, started_ns: int) -> None:
        """Take the request as it was first asked, and when (nanoseconds since 1970)."""
        self._request = request
        self._started_ns = started_ns
        self._asked = False
        self.time_ns: int | None = None
        """Latest time shown; None before the first flow or event."""
        self._shown: Counter[int] = Counter()
        self._repeated: Counter[int] = Counter()

    @property
    def is_about_flows(self) -> bool:
        """Whether flows were asked for, not events of agents or of the datapath."""
        return isinstance(self._request, GetFlowsRequest)

    def resumed(self) -> SelectRequest:
        """Make the request for what was not shown yet; the first one is as it was asked."""
        request = deepcopy(self._request)
        if not self._asked:
            self._asked = True
            return request
        since_ns = self.time_ns
        if since_ns is None and not request.number and not request.HasField("since"):
            since_ns = self._started_ns
        if since_ns is not None:
            seconds, nanos = divmod(since_ns, SECOND_NS)
            request.since.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
            request.number = 0
        self._repeated = self._shown.copy()
        return request

    def unseen(self, messages: Sequence[bytes]) -> list[bytes]:
        """Leave out what was shown before the answer was taken up; raises DecodeError."""
        return [message for message in messages if self._is_new(message)]

    def _is_new(self, message: bytes) -> bool:
        time_ns = _event_time_ns(self._request, message)
        if not time_ns or (self.time_ns is not None and time_ns < self.time_ns):
            return True
        if time_ns != self.time_ns:
            self.time_ns = time_ns
            self._shown.clear()
            self._repeated.clear()
        key = hash(message)
        if self._repeated[key] > 0:
            self._repeated[key] -= 1
            return False
        if len(self._shown) < _REMEMBERED:
            self._shown[key] += 1
        return True


def _event_time_ns(request: SelectRequest, message: bytes) -> int | None:
    """Read the time of a flow or event; None for what tells of the stream itself."""
    match request:
        case GetFlowsRequest():
            flow = GetFlowsResponse.FromString(message)
            return _ns(flow.time) if flow.HasField("flow") else None
        case GetAgentEventsRequest():
            return _ns(GetAgentEventsResponse.FromString(message).time)
        case GetDebugEventsRequest():
            return _ns(GetDebugEventsResponse.FromString(message).time)
        case _:
            assert_never(request)


def _ns(time: Timestamp) -> int:
    return time.seconds * SECOND_NS + time.nanos
