"""Text of what comes between flows: events that were lost, and nodes that come and go.

Losses belong into the stream of flows. The state of nodes goes to the error stream, and only
what is wrong unless debugging.
"""

from collections.abc import Callable

from google.protobuf import text_format
from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Flow, LostEvent
from api.proto.observer.observer_pb2 import GetFlowsResponse
from api.proto.relay import relay_pb2
from api.proto.relay.relay_pb2 import NodeStatusEvent
from cli.printers.color import Palette
from cli.quoting import quoted
from cli.times import MISSING, TimeText

_NAMES_WIDTH = 50
_RULE = "------------\n"
_UNCOUNTED = "an unknown number, while the server was away"
_TROUBLE = (relay_pb2.NODE_ERROR, relay_pb2.NODE_UNAVAILABLE)
_SOURCE_NAMES = {value: name for name, value in flow_pb2.LostEventSource.items()}

_STATE_NAMES = {value: name for name, value in relay_pb2.NodeState.items()}


class EventText:
    """Writes lost events and node states for the text formats."""

    def __init__(
        self,
        *,
        time: TimeText,
        palette: Palette,
        debug: bool,
        as_dict: bool,
        warn: Callable[[str], None],
    ) -> None:
        """Take the time format, whether all states are told, in which shape, and to whom."""
        self._time = time
        self._palette = palette
        self._debug = debug
        self._as_dict = as_dict
        self._warn = warn
        self._blocks = 0

    def moment(self, message: GetFlowsResponse | Flow) -> str:
        """Write the time of a response or flow; N/A if it has none."""
        return self._stamp(message.time) if message.HasField("time") else MISSING

    def rule(self) -> str:
        """Write what stands between two blocks of dict output, on either stream."""
        self._blocks += 1
        return _RULE if self._blocks > 1 else ""

    def lost_line(self, response: GetFlowsResponse) -> str:
        """Write a loss as a line of compact output."""
        lost = response.lost_events
        counted = f"{lost_source(lost)} CPU({lost.cpu.value}) {lost.num_events_lost}"
        if _is_uncounted(lost):
            counted = _UNCOUNTED
        return f"{self.moment(response)} EVENTS LOST: {counted}{self.span(lost)}\n"

    def lost_summary(self, lost: LostEvent) -> str:
        """Write a loss as the summary of dict and table output."""
        counted = f"CPU({lost.cpu.value}) - {lost.num_events_lost}"
        return f"{_UNCOUNTED if _is_uncounted(lost) else counted}{self.span(lost)}"

    def span(self, lost: LostEvent) -> str:
        """Write from when to when events were lost, if that is known."""
        if not (lost.HasField("first") and lost.HasField("last")):
            return ""
        return f" (first: {self._stamp(lost.first)}, last: {self._stamp(lost.last)})"

    def node_status(self, response: GetFlowsResponse) -> None:
        """Tell the state of nodes, if it is trouble or all is asked for."""
        status = response.node_status
        if not self._debug and status.state_change not in _TROUBLE:
            return
        text = self._node_block(response) if self._as_dict else self._node_line(response)
        self._warn(self._palette.neutralise(text))

    def _node_line(self, response: GetFlowsResponse) -> str:
        node = response.node_name or "-"
        return f"{self.moment(response)} [{node}]: {_status(response.node_status)}\n"

    def _node_block(self, response: GetFlowsResponse) -> str:
        status = response.node_status
        state = _STATE_NAMES.get(status.state_change, str(status.state_change))
        return (
            f"{self.rule()}"
            f"  TIMESTAMP: {self.moment(response)}\n"
            f"      STATE: {state}\n"
            f"      NODES: {shortened(list(status.node_names))}\n"
            f"    MESSAGE: {quoted(status.message) if status.message else 'N/A'}\n"
        )

    def _stamp(self, moment: Timestamp) -> str:
        return self._time(moment.seconds, moment.nanos)


def _is_uncounted(lost: LostEvent) -> bool:
    """Tell whether this is a gap that --retry marks: nobody knows how many there were."""
    return not lost.num_events_lost and lost.HasField("first")


def lost_source(lost: LostEvent) -> str:
    """Name where events were lost."""
    return _SOURCE_NAMES.get(lost.source, str(lost.source))


def shortened(node_names: list[str]) -> str:
    """Join names up to about 50 characters, at least one, and count the others."""
    text = ""
    for index, name in enumerate(node_names):
        longer = f"{text}, {name}" if index else name
        if index and len(longer) > _NAMES_WIDTH:
            return f"{text} (and {len(node_names) - index} more)"
        text = longer
    return text


def _status(status: NodeStatusEvent) -> str:
    count, listed = len(status.node_names), shortened(list(status.node_names))
    match status.state_change:
        case relay_pb2.NODE_CONNECTED:
            return f"Receiving flows from {count} nodes: {listed}"
        case relay_pb2.NODE_UNAVAILABLE:
            return f"{count} nodes are unavailable: {listed}"
        case relay_pb2.NODE_GONE:
            return f"{count} nodes removed from cluster: {listed}"
        case relay_pb2.NODE_ERROR:
            return f"Error {quoted(status.message)} on {count} nodes: {listed}"
        case _:
            text = text_format.MessageToString(status, as_one_line=True)
            return f"unknown node status event: {text}"
