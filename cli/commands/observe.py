"""`hubble observe`: ask for flows, print them as they come.

    flags -> filters, selection, field mask -> GetFlowsRequest -> batches of bytes -> printer

Everything typed is checked before a connection is made.
"""

import asyncio
from dataclasses import dataclass

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.flow.flow_pb2 import FlowFilter
from api.proto.observer.observer_pb2 import GetFlowsRequest
from cli.connection import ServerOptions, open_channel, rpc_text, warn_if_older
from cli.errors import CliError
from cli.fieldmask import field_mask
from cli.filters.raw import parse_filters, raw_filters_yaml
from cli.filters.tracker import FilterFlags
from cli.flags.arguments import Arguments
from cli.printers.choice import Printer, flow_printer, output_format
from cli.quoting import quoted
from cli.selection import select
from cli.surroundings import Surroundings
from cli.wirejson.writer import Writers

_GET_FLOWS = "/observer.Observer/GetFlows"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked, of whom, and how the answer is shown."""

    server: ServerOptions
    request: GetFlowsRequest
    printer: Printer
    debug: bool


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print flows; raises CliError."""
    filters = FilterFlags()
    arguments.read(filters.take)
    server = ServerOptions.from_arguments(arguments)
    allow, deny = filters.finish()
    chosen = output_format(arguments)
    request = GetFlowsRequest()
    select(request, arguments, surroundings.now_ns())
    allow += parse_filters("allowlist", arguments.texts("allowlist"))
    deny += parse_filters("denylist", arguments.texts("denylist"))
    request.field_mask.paths.extend(field_mask(chosen, arguments))
    if arguments.on("print-raw-filters"):
        surroundings.out.write(raw_filters_yaml(_json(allow), _json(deny)))
        return
    request.whitelist.extend(allow)
    request.blacklist.extend(deny)
    printer = flow_printer(chosen, arguments, surroundings)
    question = _Question(
        server=server, request=request, printer=printer, debug=arguments.on("debug")
    )
    asyncio.run(_observe(question, surroundings))


async def _observe(question: _Question, surroundings: Surroundings) -> None:
    channel = open_channel(question.server)
    try:
        await _show(channel, question, surroundings)
    finally:
        await channel.close()


async def _show(channel: Channel, question: _Question, surroundings: Surroundings) -> None:
    """Print the answer, also as much of it as came before an error or Ctrl-C."""
    try:
        await _print(channel, question, surroundings)
    except RpcError as error:
        if error.code is not Code.CANCELLED:
            raise CliError(rpc_text(error)) from None
    except DecodeError as error:
        raise CliError(f"rpc error: code = Internal desc = unreadable message: {error}") from None
    finally:
        surroundings.out.write(question.printer.finish())
        surroundings.out.flush()


async def _print(channel: Channel, question: _Question, surroundings: Surroundings) -> None:
    out, batch = surroundings.out, question.printer.batch
    if question.debug:
        request = text_format.MessageToString(question.request, as_one_line=True)
        surroundings.warn(f'level=DEBUG msg="Sending GetFlows request" req={quoted(request)}\n')
    follow = question.request.follow
    async with channel.server_stream(_GET_FLOWS, question.request) as answer:
        warn_if_older(await answer.wait_initial_metadata(), surroundings.warn)
        async for messages in answer.batches():
            out.write(batch(messages))
            if follow:
                out.flush()


def _json(filters: list[FlowFilter]) -> list[str]:
    write = Writers().of(FlowFilter.DESCRIPTOR)
    return [write(each.SerializeToString()) for each in filters]
