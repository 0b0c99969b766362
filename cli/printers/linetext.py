"""Lines of flows in the usual shape, from texts kept by the bytes they are made of.

    time                   kept from flow to flow, by all bytes but the lowest, which hardly show
    source, destination    kept: name and identity
    the rest of the flow   kept: arrow, type, verdict and summary
    IP, l4                 new each time: addresses where there is no name, and ports

A line is the same to the letter as one made by way of protobuf's messages. Where the shape is
another, this says nothing and leaves the flow to `compact`. What is not shown is not looked at.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from api.proto.flow.flow_pb2 import IP, TCP, Endpoint, Flow, Layer4
from cli import quickcut, wire
from cli.kept import Kept
from cli.printers.flowtext import FlowText, ports_of
from cli.times import TimeText

_FLAGS_TAG = 0x1A
# A time without these bytes tells all but the lowest 14 bits of its nanoseconds.
_LOW_START, _LOW_END = wire.TIME_HEAD_BYTES, wire.TIME_HEAD_BYTES + 2
_LOW_NS = (1 << 14) - 1
_LOOK_AFTER = 2048
_WORTH = 8
"""How many lines there must be for each rest that is made."""


class _End(NamedTuple):
    """What an endpoint adds to a line."""

    name: str
    """Empty where there is none."""
    identity: str
    endpoint: Endpoint


class _Rest(NamedTuple):
    """What the rest of a flow adds to a line."""

    node: str
    arrow: str
    is_reply: bool
    end: str
    """From the type on."""
    flow: Flow | None
    """Where names come from, if not only from endpoints."""


class LineText:
    """Writes the lines of flows in the usual shape."""

    def __init__(self, text: FlowText, time: TimeText, *, node_name: bool) -> None:
        """Take the writer of pieces, the format of times, and whether nodes are shown."""
        self._text = text
        self._time_text = time
        self._node_name = node_name
        self._cutter = quickcut.QuickCutter()
        self._is_worth_it = True
        self._lines = self._rests_made = 0
        self._ends = Kept(self._end)
        self._rests = Kept(self._rest)
        self._ports = Kept(_ports)
        self._is_end = Kept(_is_end)
        self._seconds = Kept(wire.seconds)
        self._coarse_stamp = b""
        self._coarse_text: str | None = None

    def lines(self, messages: Sequence[bytes], other: Callable[[bytes], str]) -> list[str]:
        """Write the lines of responses; those in another shape are given to `other`.

        Raises:
            DecodeError: a part is no message.
        """
        if not self._is_worth_it:
            return [other(message) for message in messages]
        line = self._line
        return [
            (cut and line(cut)) or other(message)
            for message, cut in zip(messages, self._cutter.cuts(messages), strict=True)
        ]

    def _line(self, cut: quickcut.QuickCut) -> str:
        """Write the line of a flow; nothing if something in it is not usual."""
        self._lines += 1
        stamp, _, _, ip, l4, source, destination, runs = cut
        rest = self._rests[runs]
        coarse = stamp[:_LOW_START] + stamp[_LOW_END:]
        # Busy servers' flows are so near to each other that most lines show the same time.
        time = self._coarse_text if coarse == self._coarse_stamp else None
        if not time or not stamp[7] & stamp[8] & 0x80:
            time = self._moment(stamp, coarse)
        if rest is None or not time:
            return ""
        node, arrow, is_reply, end, flow = rest
        left, left_identity, left_endpoint = self._ends[source]
        right, right_identity, right_endpoint = self._ends[destination]
        if flow is not None:
            left, right = self._text.names(flow, left_endpoint, right_endpoint)
        if not left or not right:
            address = IP.FromString(ip)
            left, right = left or address.source, right or address.destination
        left_port, right_port = self._both_ports(l4)
        left, right = self._text.end(left, left_port), self._text.end(right, right_port)
        if is_reply:
            return f"{time}{node}: {right} {right_identity} {arrow} {left} {left_identity} {end}"
        return f"{time}{node}: {left} {left_identity} {arrow} {right} {right_identity} {end}"

    def _both_ports(self, l4: bytes) -> tuple[int, int]:
        found = wire.ports(l4)
        if found is not None:
            kind, source, destination, tail = found
            if self._is_end[tail] if kind == wire.TCP else kind == wire.UDP and not tail:
                return source, destination
        return self._ports[l4]

    def _end(self, payload: bytes) -> _End:
        endpoint = Endpoint.FromString(payload)
        name, _ = self._text.names(Flow(), endpoint, Endpoint())
        return _End(name=name, identity=self._text.identity(endpoint), endpoint=endpoint)

    def _rest(self, runs: tuple[bytes, bytes, bytes]) -> _Rest | None:
        self._rests_made += 1
        if self._rests_made == _LOOK_AFTER:
            # Without a field mask, say, hardly any comes again: then messages are cheaper.
            self._is_worth_it = self._lines > _WORTH * _LOOK_AFTER
            self._lines = self._rests_made = 0
        flow = quickcut.joined(runs)
        if flow is None:
            return None
        kind, verdict = self._text.judgement(flow)
        arrow = "<>"
        if flow.HasField("is_reply"):
            arrow = "<-" if flow.is_reply.value else "->"
        has_names = (
            flow.HasField("source_service")
            or flow.HasField("destination_service")
            or flow.source_names
            or flow.destination_names
        )
        return _Rest(
            node=f" [{flow.node_name}]" if self._node_name else "",
            arrow=arrow,
            is_reply=flow.is_reply.value,
            end=f"{kind} {verdict} ({self._text.summary(flow)})\n",
            flow=flow if has_names else None,
        )

    def _moment(self, stamp: bytes, coarse: bytes) -> str:
        """Write a time; nothing for one in no usual shape."""
        if coarse != self._coarse_stamp:
            self._coarse_stamp, self._coarse_text = coarse, None
        elif self._coarse_text is None:
            self._coarse_text = self._coarse_time(coarse)
        return self._time(stamp)

    def _coarse_time(self, key: bytes) -> str:
        """Write a time without its lowest bits; nothing where these can make a difference."""
        head, high = key[:_LOW_START], key[_LOW_START:]
        seconds, nanos = wire.seconds(head), wire.nanos(head + b"\x80\x80" + high)
        if seconds is None or not 0 <= nanos < wire.SECOND_NS - _LOW_NS:
            return ""
        text = self._time_text(seconds, nanos)
        return text if text == self._time_text(seconds, nanos + _LOW_NS) else ""

    def _time(self, stamp: bytes) -> str:
        seconds, nanos = self._seconds[stamp[: wire.TIME_HEAD_BYTES]], wire.nanos(stamp)
        return "" if seconds is None or nanos < 0 else self._time_text(seconds, nanos)


def _ports(l4: bytes) -> tuple[int, int]:
    return ports_of(Layer4.FromString(l4))


def _is_end(tail: bytes) -> bool:
    """Tell whether nothing but flags follows the ports of TCP; raises DecodeError."""
    if tail and (tail[0] != _FLAGS_TAG or tail[1:2] != bytes((len(tail) - 2,))):
        return False
    TCP.FromString(tail)
    return True
