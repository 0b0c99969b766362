"""Flows as pieces beside each other: KEY: VALUE blocks (dict) and tables.

Both show the packet's own direction, also of replies. A table is written when all is there: only
then the widths are known.
"""

from collections.abc import Sequence
from typing import NamedTuple

from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.printers.color import Palette
from cli.printers.events import EventText, lost_source
from cli.printers.flowtext import FlowText, TextOptions
from cli.printers.grid import grid

_KEYS = ("TIMESTAMP", "NODE", "SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY")


class _Row(NamedTuple):
    timestamp: str
    node: str
    source: str
    destination: str
    """`-` if there is none."""
    type: str
    verdict: str
    summary: str


class _Rows:
    """Responses to rows; what is about nodes goes to the error stream."""

    def __init__(self, options: TextOptions, palette: Palette, events: EventText) -> None:
        self._text = FlowText(options, palette)
        self._events = events

    def row(self, message: bytes) -> _Row | None:
        """Make the row of a response; None if it has no place in the output."""
        response = GetFlowsResponse.FromString(message)
        match response.WhichOneof("response_types"):
            case "flow":
                return self._flow(response)
            case "lost_events":
                return self._lost(response)
            case "node_status":
                self._events.node_status(response)
                return None
            case _:  # a kind of a later API, or none
                return None

    def _flow(self, response: GetFlowsResponse) -> _Row:
        flow, text = response.flow, self._text
        source, destination = text.hosts(flow, flow.source, flow.destination)
        kind, verdict = text.judgement(flow)
        return _Row(
            timestamp=self._events.moment(flow),
            node=flow.node_name,
            source=source,
            destination=destination,
            type=kind,
            verdict=verdict,
            summary=text.summary(flow),
        )

    def _lost(self, response: GetFlowsResponse) -> _Row:
        lost = response.lost_events
        return _Row(
            timestamp=self._events.moment(response),
            node=response.node_name or "-",
            source=lost_source(lost),
            destination="-",
            type="EVENTS LOST",
            verdict="-",
            summary=self._events.lost_summary(lost),
        )


class BlockPrinter:
    """Prints a block of KEY: VALUE lines a flow, rules between them."""

    def __init__(self, options: TextOptions, palette: Palette, events: EventText) -> None:
        """Take what the blocks show, their colours, and the writer of everything but flows."""
        self._rows = _Rows(options, palette, events)
        self._events = events
        self._node_name = options.node_name
        self._neutralise = palette.neutralise

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the blocks of a batch; raises DecodeError on bytes that are no response."""
        rows = (self._rows.row(message) for message in messages)
        return self._neutralise("".join(self._block(row) for row in rows if row is not None))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    def _block(self, row: _Row) -> str:
        lost = row.type == "EVENTS LOST"
        lines = [
            f"{key:>11}: {value}\n"
            for key, value in zip(_KEYS, row, strict=True)
            if not (key == "NODE" and not self._node_name) and not (key == "DESTINATION" and lost)
        ]
        return self._events.rule() + "".join(lines)


class TablePrinter:
    """Prints all flows as one table at the end."""

    def __init__(self, options: TextOptions, palette: Palette, events: EventText) -> None:
        """Take what the table shows, and the writer of everything but flows."""
        self._rows = _Rows(options, palette, events)
        self._node_name = options.node_name
        self._neutralise = palette.neutralise
        self._collected: list[_Row] = []

    def batch(self, messages: Sequence[bytes]) -> str:
        """Keep the rows of a batch; raises DecodeError on bytes that are no response."""
        rows = (self._rows.row(message) for message in messages)
        self._collected.extend(row for row in rows if row is not None)
        return ""

    def finish(self) -> str:
        """Write the table; nothing if there was no flow."""
        if not self._collected:
            return ""
        rows: list[Sequence[str]] = [_KEYS, *self._collected]
        if not self._node_name:
            rows = [(row[0], *row[2:]) for row in rows]
        return grid([[self._neutralise(cell) for cell in row] for row in rows])
