"""One line a flow: `Mar  4 05:06:07.089: a/b:4 (ID:1) -> c/d:80 (ID:2) to-endpoint FORWARDED (…)`.

Responses come in as wire bytes, a batch at a time; lines go out as one text. Of a reply the two
ends change places, so that the client stays on the left. What is about nodes, not flows, goes to
the error stream.

Most flows are put together from texts kept by `linetext`; this page has the line in full, and
takes the flows that are not in the usual shape.
"""

from collections.abc import Sequence

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.printers.color import Palette
from cli.printers.events import EventText
from cli.printers.flowtext import FlowText, TextOptions
from cli.printers.linetext import LineText
from cli.times import MISSING, time_text


class CompactPrinter:
    """Prints responses of GetFlows as lines."""

    def __init__(self, options: TextOptions, palette: Palette, events: EventText) -> None:
        """Take what the lines show, their colours, and the writer of everything but flows."""
        self._text = FlowText(options, palette)
        self._time = time_text(options.time_format)
        self.usual = LineText(self._text, self._time, node_name=options.node_name)
        self._node_name = options.node_name
        self._neutralise = palette.neutralise
        self._events = events

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the lines of a batch; raises DecodeError on bytes that are no response."""
        return self._neutralise("".join(self.usual.lines(messages, self.line)))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    def line(self, message: bytes) -> str:
        """Write the line of any response, not neutralised; nothing if it has none."""
        response = GetFlowsResponse.FromString(message)
        match response.WhichOneof("response_types"):
            case "flow":
                return self._flow(response.flow)
            case "lost_events":
                return self._events.lost_line(response)
            case "node_status":
                self._events.node_status(response)
                return ""
            case _:  # a kind of a later API, or none
                return ""

    def _flow(self, flow: Flow) -> str:
        text, moment = self._text, flow.time
        source, destination = flow.source, flow.destination
        left, right = text.hosts(flow, source, destination)
        left_identity, right_identity = text.identity(source), text.identity(destination)
        arrow = "<>"
        if flow.HasField("is_reply"):
            arrow = "->"
            if flow.is_reply.value:
                arrow, left, right = "<-", right, left
                left_identity, right_identity = right_identity, left_identity
        node = f" [{flow.node_name}]" if self._node_name else ""
        time = self._time(moment.seconds, moment.nanos)
        if not moment.seconds and not flow.HasField("time"):
            time = MISSING
        kind, verdict = text.judgement(flow)
        return (
            f"{time}{node}: {left} {left_identity} {arrow} {right} {right_identity} "
            f"{kind} {verdict} ({text.summary(flow)})\n"
        )
