"""Agent and debug events as lines, blocks, tables and JSON.

What is between time, node and line end comes from a view: `AgentText` or `DebugText`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from cli.printers.color import palette
from cli.printers.grid import grid
from cli.times import MISSING, TimeText

# Any: messages of two types with a time and a node name, which protobuf gives no common base.
Response = Any
M = TypeVar("M", bound=Message)
_RULE = "------------\n"


class View(Protocol):
    """Writes the pieces of one kind of event."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of the table's columns."""

    def tail(self, response: Response) -> str:
        """Write what follows time and node in a line."""

    def pairs(self, response: Response) -> list[tuple[str, str]]:
        """Write keys and values of a block."""

    def row(self, response: Response) -> list[str]:
        """Write the cells of a table, below the heads."""


class _TextPrinter(ABC, Generic[M]):
    """What the text formats share: parsing, times, nodes."""

    def __init__(
        self, response_type: type[M], view: View, time: TimeText, *, node_name: bool
    ) -> None:
        """Take what the messages are, how they read, and whether the node is shown."""
        self._parse = response_type.FromString
        self._view = view
        self._time = time
        self._node_name = node_name
        self._neutralise = palette(colored=False).neutralise

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write what can be written of a batch; raises DecodeError."""
        return self._neutralise("".join(self._text(self._parse(each)) for each in messages))

    def finish(self) -> str:
        """Nothing is held back."""
        return ""

    @abstractmethod
    def _text(self, response: Response) -> str:
        """Write an event, or keep it for the end."""

    def _stamp(self, response: Response) -> str:
        if not response.HasField("time"):
            return MISSING
        return self._time(response.time.seconds, response.time.nanos)


class EventLines(_TextPrinter[M]):
    """Prints an event a line."""

    def _text(self, response: Response) -> str:
        node = f" [{response.node_name}]" if self._node_name else ""
        return f"{self._stamp(response)}{node}: {self._view.tail(response)}\n"


class EventBlocks(_TextPrinter[M]):
    """Prints a block of KEY: VALUE lines an event, rules between them."""

    _rule = ""

    def _text(self, response: Response) -> str:
        node = [("NODE", response.node_name)] if self._node_name else []
        pairs = [("TIMESTAMP", self._stamp(response)), *node, *self._view.pairs(response)]
        rule, self._rule = self._rule, _RULE
        return rule + "".join(f"{key:>11}: {value}\n" for key, value in pairs)


class EventTable(_TextPrinter[M]):
    """Prints all events as one table at the end."""

    def __init__(
        self, response_type: type[M], view: View, time: TimeText, *, node_name: bool
    ) -> None:
        """Take the same as the others; nothing is collected yet."""
        super().__init__(response_type, view, time, node_name=node_name)
        self._rows: list[list[str]] = []

    def _text(self, response: Response) -> str:
        node = [response.node_name] if self._node_name else []
        row = [self._stamp(response), *node, *self._view.row(response)]
        self._rows.append([self._neutralise(cell) for cell in row])
        return ""

    def finish(self) -> str:
        """Write the table; nothing if there was no event."""
        if not self._rows:
            return ""
        node = ["NODE"] if self._node_name else []
        return grid([["TIMESTAMP", *node, *self._view.heads], *self._rows])


class EventJson:
    """Prints the messages as JSON, one a line."""

    def __init__(self, write: Callable[[bytes], str]) -> None:
        """Take the writer of the message type."""
        self._write = write

    def batch(self, messages: Sequence[bytes]) -> str:
        """Write the lines of a batch; raises DecodeError."""
        return "".join(f"{self._write(message)}\n" for message in messages)

    def finish(self) -> str:
        """Nothing is held back."""
        return ""
