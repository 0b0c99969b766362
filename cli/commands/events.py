"""`hubble observe agent-events` and `hubble observe debug-events`.

They take the flags about number, time and format; there are no filters for them.
"""

from google.protobuf.message import Message

from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
)
from cli.connection import ServerOptions
from cli.errors import UsageError
from cli.flags.arguments import Arguments
from cli.memory import Memory
from cli.printers.agenttext import AgentText
from cli.printers.choice import Printer, output_format
from cli.printers.debugtext import DebugText
from cli.printers.eventprinters import EventBlocks, EventJson, EventLines, EventTable, View
from cli.selection import SelectRequest, select
from cli.stream import Question, ask
from cli.surroundings import Surroundings
from cli.times import time_text
from cli.wirejson.writer import Writers

_Text = EventLines[Message] | EventBlocks[Message] | EventTable[Message]
_TEXTS: dict[str, type[_Text]] = {"compact": EventLines, "dict": EventBlocks, "table": EventTable}


def run_agent(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print agent events; raises CliError."""
    arguments.read()
    view = AgentText(time_text(arguments.text("time-format")))
    printer = _printer(GetAgentEventsResponse, view, arguments)
    _ask("GetAgentEvents", GetAgentEventsRequest(), printer, arguments, surroundings)


def run_debug(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print debug events; raises CliError."""
    arguments.read()
    printer = _printer(GetDebugEventsResponse, DebugText(), arguments)
    _ask("GetDebugEvents", GetDebugEventsRequest(), printer, arguments, surroundings)


def _printer(response_type: type[Message], view: View, arguments: Arguments) -> Printer:
    output = output_format(arguments)
    if output == "json":
        return EventJson(Writers().of(response_type.DESCRIPTOR))
    return _TEXTS[output](
        response_type,
        view,
        time_text(arguments.text("time-format")),
        node_name=arguments.on("print-node-name"),
    )


def _ask(
    method: str,
    request: SelectRequest,
    printer: Printer,
    arguments: Arguments,
    surroundings: Surroundings,
) -> None:
    server = ServerOptions.from_arguments(arguments)
    if arguments.text("input-file"):
        raise UsageError("cannot use --input-file here: only flows are read from files")
    select(request, arguments, surroundings.now_ns())
    question = Question(
        server=server,
        path=f"/observer.Observer/{method}",
        request=request,
        printer=printer,
        debug=arguments.on("debug"),
        follow=request.follow,
        memory=Memory(request, surroundings.now_ns()) if arguments.on("retry") else None,
    )
    ask(question, surroundings)
