"""JSON as Hubble wrote it before 0.8: the bare flow or loss, without what is around it.

HUBBLE_COMPAT=legacy-json-output asks for it, for `-o json`; `-o jsonpb` stays as it is.
"""

from collections.abc import Sequence

from api.proto.flow.flow_pb2 import Flow, LostEvent
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.wirejson.writer import Writers


class LegacyJsonPrinter:
    """Prints flows and losses as bare objects, one a line; states of nodes are left out."""

    def __init__(self) -> None:
        """Make the writers."""
        writers = Writers()
        self._flow = writers.of(Flow.DESCRIPTOR)
        self._lost = writers.of(LostEvent.DESCRIPTOR)

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the lines of a batch; raises DecodeError on bytes that are no response."""
        return "".join(self._line(GetFlowsResponse.FromString(each)) for each in messages)

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    def _line(self, response: GetFlowsResponse) -> str:
        match response.WhichOneof("response_types"):
            case "flow":
                return self._flow(response.flow.SerializeToString()) + "\n"
            case "lost_events":
                return self._lost(response.lost_events.SerializeToString()) + "\n"
            case _:
                return ""
