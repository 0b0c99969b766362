"""One JSON object a line: the API's answers as they are.

Lines are made from wire bytes (see `cli.wirejson`). Node states go to the error stream, as in
the text formats.
"""

from collections.abc import Callable, Sequence

from api.proto.observer.observer_pb2 import GetFlowsResponse
from api.proto.relay import relay_pb2
from cli.wirejson.flows import FlowLines

_TROUBLE = (relay_pb2.NODE_ERROR, relay_pb2.NODE_UNAVAILABLE)
_STATUS_HEAD = '{"node_status":'
_SHOWN_HEADS = ('{"flow":', '{"lost_events":')


class JsonPrinter:
    """Prints responses of GetFlows as JSON lines."""

    def __init__(self, *, debug: bool, warn: Callable[[str], None]) -> None:
        """Take whether all node states are told, and to whom."""
        self._lines = FlowLines()
        self._debug = debug
        self._warn = warn

    def batch(self, messages: Sequence[bytes]) -> bytes:
        """Write the lines of a batch; raises DecodeError on bytes that are no response."""
        return b"".join(self._lines.pieces(messages, self._other))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    def _other(self, message: bytes) -> tuple[bytes, ...]:
        line = self._lines.any(message)
        if line.startswith(_SHOWN_HEADS):
            return line.encode(), b"\n"
        if line.startswith(_STATUS_HEAD):
            self._node_status(message, line)
        return ()

    def _node_status(self, message: bytes, line: str) -> None:
        state = GetFlowsResponse.FromString(message).node_status.state_change
        if self._debug or state in _TROUBLE:
            self._warn(line + "\n")
