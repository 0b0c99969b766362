"""One line a flow: `Mar  4 05:06:07.089: a/b:4 (ID:1) -> c/d:80 (ID:2) to-endpoint FORWARDED (…)`.

Responses come in as wire bytes, a batch at a time; lines go out as one text. Of a reply the two
ends change places, so that the client stays on the left. What is about nodes, not flows, goes to
the error stream.
"""

from collections.abc import Sequence

from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.printers.color import Palette
from cli.printers.events import EventText
from cli.printers.flowtext import FlowText, TextOptions
from cli.times import time_text


class CompactPrinter:
    """Prints responses of GetFlows as lines."""

    def __init__(self, options: TextOptions, palette: Palette, events: EventText) -> None:
        """Take what the lines show, their colours, and the writer of everything but flows."""
        self._text = FlowText(options, palette)
        self._time = time_text(options.time_format)
        self._node_name = options.node_name
        self._neutralise = palette.neutralise
        self._events = events

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the lines of a batch; raises DecodeError on bytes that are no response."""
        lines = []
        parse, flow_line = GetFlowsResponse.FromString, self._flow
        for message in messages:
            response = parse(message)
            match response.WhichOneof("response_types"):
                case "flow":
                    lines.append(flow_line(response))
                case "lost_events":
                    lines.append(self._events.lost_line(response))
                case "node_status":
                    self._events.node_status(response)
        return self._neutralise("".join(lines))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    def _flow(self, response: GetFlowsResponse) -> str:
        flow, text = response.flow, self._text
        moment = flow.time
        left, right = text.hosts(flow)
        left_identity, right_identity = text.identity(flow.source), text.identity(flow.destination)
        arrow = "<>"
        if flow.HasField("is_reply"):
            arrow = "->"
            if flow.is_reply.value:
                arrow, left, right = "<-", right, left
                left_identity, right_identity = right_identity, left_identity
        node = f" [{flow.node_name or '-'}]" if self._node_name else ""
        time = self._time(moment.seconds, moment.nanos)
        return (
            f"{time}{node}: {left} {left_identity} {arrow} {right} {right_identity} "
            f"{text.type(flow)} {text.verdict(flow)} ({text.summary(flow)})\n"
        )
